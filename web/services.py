"""The services that handlers use; `web.main` makes them, and the application holds them."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from parking.book import LetterReader
from projections.mongo.actions import OperatorActions
from projections.mongo.idempotency import IdempotencyKeys
from projections.mongo.live import LiveVersions
from projections.mongo.queries import Queries
from projections.mongo.stock_imports import StockImports
from streams.kafka.gateway import Gateway
from streams.kafka.import_watch import ImportWatch
from streams.kafka.open_transactions import OpenTransaction
from streams.runtime.settings import Settings
from webhooks.names import Resolver
from webhooks.progress import Progress
from webhooks.store import Subscriptions
from webhooks.vault import Vault

from .commands.outcome_reader import Waiting
from .sse.hub import Hub

if TYPE_CHECKING:
    from .opening import Opening  # loads a library of ciphers

REMEMBERED = 50_000  # command ids


class Accepted:
    """The ids of the last commands that this process sent, which are pending until they have an outcome."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, command_id: str) -> bool:
        return command_id in self._ids

    def add(self, command_id: str) -> None:
        """Remember `command_id`, and forget the oldest one beyond the limit."""
        self._ids[command_id] = None
        if len(self._ids) > REMEMBERED:
            self._ids.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The subscriptions to webhooks, their progress, and what encrypts their secrets and resolves their receivers."""

    store: Subscriptions
    progress: Progress
    vault: Vault
    names: Resolver


@dataclass(frozen=True, slots=True)
class Services:
    """The services of one api process.

    `reasons` returns why the process is not ready. `open_transactions` returns the transactions that block a
    partition; the process stays ready, because it answers for all other partitions.
    """

    settings: Settings
    gateway: Gateway
    waiting: Waiting
    queries: Queries
    keys: IdempotencyKeys
    letters: LetterReader
    hub: Hub
    versions: LiveVersions
    reasons: Callable[[], Awaitable[dict[str, str]]]
    actions: OperatorActions = field(kw_only=True)
    opening: "Opening | None" = field(default=None, kw_only=True)  # None: personal data is not encrypted
    imports: ImportWatch = field(kw_only=True)
    stock_imports: StockImports = field(kw_only=True)
    webhooks: Webhooks = field(kw_only=True)
    accepted: Accepted = field(default_factory=Accepted)
    open_transactions: Callable[[], Sequence[OpenTransaction]] = tuple


SERVICES = web.AppKey("services", Services)
