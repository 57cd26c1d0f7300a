"""The differences between orders and stock, for the worker that decides both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from domain.message import Event
from streams.messages.envelope import Aggregate, CommandMessage
from streams.topology import AGGREGATES, AggregateTopics
from tables.entries import Recent
from tables.store import Changes, PartitionedTable


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


Decide = Callable[[CommandMessage, Any, Changes[Any]], tuple[Sequence[Event], Any]]


@dataclass(frozen=True, slots=True)
class AggregateKind:
    """An aggregate: its table, the class of its entries, and how a command is decided.

    `decide` gets a command and the aggregate's entry, which is None before its first event. It returns the events the
    command causes and the state after them. It changes other entries itself.
    """

    aggregate: Aggregate
    table: Callable[[Any], PartitionedTable]
    entry: Callable[[Any, int, Recent, str], Entry]
    decide: Decide

    @property
    def topics(self) -> AggregateTopics:
        """The aggregate's topics, and the types of its commands."""
        return AGGREGATES[self.aggregate]
