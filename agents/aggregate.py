"""What differs between orders and stock, for the loop that decides both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from domain.message import Event
from streams.messages.envelope import Aggregate, CommandMessage
from streams.topology import AGGREGATES, AggregateTopics
from tables.entries import Recent
from tables.store import Changes, PartitionedTable


class Entry(Protocol):
    """What every aggregate's entry has."""

    @property
    def state(self) -> Any:
        """The aggregate."""

    @property
    def version(self) -> int:
        """The aggregate's version."""

    @property
    def recent(self) -> Recent:
        """The commands it answered lately."""

    @property
    def time(self) -> str:
        """When its last event happened."""

    @property
    def result(self) -> dict[str, Any]:
        """What an outcome says of the aggregate."""


Decide = Callable[[CommandMessage, Any, Changes[Any]], tuple[Sequence[Event], Any]]


@dataclass(frozen=True, slots=True)
class AggregateKind:
    """An aggregate: its table, the class of its entries there, and how a command is decided.

    `decide` returns the events a command causes and the state after them, given the aggregate's entry, None before its
    first event. Entries beside that one it changes itself.
    """

    aggregate: Aggregate
    table: Callable[[Any], PartitionedTable]
    entry: Callable[[Any, int, Recent, str], Entry]
    decide: Decide

    @property
    def topics(self) -> AggregateTopics:
        """The aggregate's topics, and the commands it takes."""
        return AGGREGATES[self.aggregate]
