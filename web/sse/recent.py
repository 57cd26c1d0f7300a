"""The newest events, kept in memory so that a client that reconnects soon needs no read from Kafka."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from .bookmark import encode
from .event import StreamedEvent

MOST_EVENTS, MOST_BYTES = 5_000, 4 << 20


class Sent(NamedTuple):
    """An event, and the line with its id."""

    event: StreamedEvent
    id_line: bytes

    @property
    def message(self) -> bytes:
        """The event's SSE message with the id."""
        return self.id_line + self.event.message

    @property
    def size(self) -> int:
        """The bytes of that message."""
        return len(self.id_line) + len(self.event.message)


class Recent:
    """The events between the positions `floor` and `position`, which is after the newest."""

    def __init__(self, partitions: int, position: Sequence[int]) -> None:
        self.partitions = partitions
        self.floor, self.position = list(position), list(position)
        self._sent: deque[Sent] = deque()
        self._bytes = 0

    def add(self, event: StreamedEvent) -> Sent:
        """Add the next event; return it with its id, the position after it."""
        self.position[event.slot] = event.offset + 1
        sent = Sent(event, b"id: %b\n" % encode(self.position, self.partitions).encode())
        self._sent.append(sent)
        self._bytes += sent.size
        while len(self._sent) > MOST_EVENTS or self._bytes > MOST_BYTES:
            gone = self._sent.popleft()
            self._bytes -= gone.size
            self.floor[gone.event.slot] = gone.event.offset + 1
        return sent

    def has(self, position: Sequence[int]) -> bool:
        """Return whether all events after `position` are here."""
        return all(ours <= theirs for ours, theirs in zip(self.floor, position, strict=True))

    def reached(self, position: Sequence[int]) -> bool:
        """Return whether the events up to `position` have been read."""
        return all(theirs <= ours for ours, theirs in zip(self.position, position, strict=True))

    def after(self, position: Sequence[int]) -> list[Sent]:
        """Return the events after `position`, in the order in which they were read."""
        return [sent for sent in self._sent if sent.event.offset >= position[sent.event.slot]]

    @property
    def events(self) -> list[StreamedEvent]:
        """All of these events."""
        return [sent.event for sent in self._sent]

    @property
    def id(self) -> str:
        """The position, as an SSE id."""
        return encode(self.position, self.partitions)
