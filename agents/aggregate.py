"""The differences between orders and stock, for the worker that decides both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from domain.message import Command, Event
from streams.messages.envelope import Aggregate, CommandMessage
from streams.runtime.settings import Settings
from streams.topology import AGGREGATES, AggregateTopics
from tables.entries import Recent
from tables.store import Changes, PartitionedTable

if TYPE_CHECKING:
    from privacy.sealing_commands import Sealing  # loads a library of ciphers, which is used only if they are


class Entry(Protocol):
    """An aggregate's entry in its table."""

    @property
    def state(self) -> Any:
        """The aggregate."""

    @property
    def version(self) -> int:
        """The aggregate's version."""

    @property
    def recent(self) -> Recent:
        """The answers to its recent commands."""

    @property
    def time(self) -> str:
        """When its last event happened."""

    @property
    def result(self) -> dict[str, Any]:
        """The part of the aggregate that outcomes contain."""


Timed = Callable[[bytes, str], tuple[str, Command]]
Decide = Callable[[CommandMessage, Any, Changes[Any]], tuple[Sequence[Event], Any]]


@dataclass(frozen=True, slots=True)
class AggregateKind:
    """An aggregate: its table, the class of its entries, and how a command is decided.

    `decide` gets a command and the aggregate's entry, which is None before its first event. It returns the events the
    command causes and the state after them. It changes other entries itself, also timers. `timed` returns the id of the
    aggregate with the entry whose timer is due, and the command that this causes at a time.
    """

    aggregate: Aggregate
    table: Callable[[Any], PartitionedTable]
    entry: Callable[[Any, int, Recent, str], Entry]
    decide: Decide
    timed: Timed
    told: Callable[[Sequence[Event]], dict[str, Any] | None] | None = None
    telling: frozenset[type] = frozenset()  # the commands whose answers contain what `told` returns of their events

    @property
    def topics(self) -> AggregateTopics:
        """The aggregate's topics, and the types of its commands."""
        return AGGREGATES[self.aggregate]


def sealing_of(settings: Settings, kind: AggregateKind) -> "Sealing | None":
    """Return what seals the personal data in commands; None if they have none, or it is not encrypted."""
    if kind.aggregate != "order" or not settings.encrypts_personal_data:
        return None
    from privacy.masters import key_encryption
    from privacy.sealing_commands import Sealing

    return Sealing(settings, key_encryption(settings))
