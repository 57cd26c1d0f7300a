"""What differs between orders and stock, for the loop that decides both."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from domain.message import Command, Event
from streams.messages.envelope import Aggregate
from streams.topics import Topic
from tables.entries import Recent
from tables.store import Changes


class Entry(Protocol):
    """What every aggregate's entry has."""

    @property
    def version(self) -> int:
        """The aggregate's version."""

    @property
    def recent(self) -> Recent:
        """The commands it answered lately."""

    @property
    def time(self) -> str:
        """When its last event happened."""


class AggregateKind(Protocol):
    """What differs between orders and stock."""

    aggregate: Aggregate
    id_field: str
    types: Mapping[str, type[Command]]
    commands: Topic
    events: Topic

    def key(self, aggregate_id: str) -> bytes:
        """Return the key of the aggregate's entry."""

    def decide(
        self, command: Command, entry: Any, changes: Changes[Any], aggregate_id: str
    ) -> tuple[Sequence[Event], Any]:
        """Return the events, and the state after them; entries beside the aggregate's own are changed here."""

    def entry(self, state: Any, version: int, recent: Recent, time: str) -> Any:
        """Return the aggregate's entry."""

    def result(self, entry: Any) -> dict[str, Any]:
        """Return what an outcome says of the aggregate."""
