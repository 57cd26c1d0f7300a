"""Listeners, grouped by their filters, so that each event is filtered once for all with the same filters."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .event import StreamedEvent

WOKEN_AT_ONCE = 25
QUEUE_BYTES = 1 << 20  # queued for one listener; a slower one is disconnected


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filters of a listener: an event must match each set that is not empty."""

    types: frozenset[str] = frozenset()
    aggregates: frozenset[str] = frozenset()  # `order`, `inventory`
    subjects: frozenset[str] = frozenset()  # ids of orders and products
    customers: frozenset[str] = frozenset()

    def takes(self, event: StreamedEvent, customer: str | None) -> bool:
        """Return whether `event`, which concerns an order of `customer`, passes the filters."""
        return (
            (not self.types or event.type in self.types)
            and (not self.aggregates or event.aggregate in self.aggregates)
            and (not self.subjects or event.subject in self.subjects or event.order_id in self.subjects)
            and (not self.customers or customer in self.customers)
        )


class Listener:
    """A bounded queue of bytes for one client; `closed` is the reason why it ended."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.closed: str | None = None
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._news = asyncio.Event()

    def put(self, chunk: bytes) -> None:
        """Queue bytes, or close the listener if it is too slow."""
        if self.closed:
            return
        if self._waiting + len(chunk) > QUEUE_BYTES:
            self.close("too slow: more than 1 MiB was queued; reconnect with the last event id")
            return
        self._chunks.append(chunk)
        self._waiting += len(chunk)

    def wake(self) -> None:
        """Let `take` return the queued bytes."""
        self._news.set()

    def close(self, reason: str) -> None:
        """End the queue."""
        self.closed = self.closed or reason
        self._news.set()

    async def take(self, seconds: float) -> bytes:
        """Return the queued bytes as soon as there are any; empty after `seconds` or once closed."""
        if not self._chunks and not self.closed:
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                return b""
        self._news.clear()
        chunks = b"".join(self._chunks)
        self._chunks.clear()
        self._waiting = 0
        return chunks


class Listeners:
    """All listeners of a process."""

    def __init__(self) -> None:
        self._groups: dict[Wanted, set[Listener]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def add(self, listener: Listener) -> None:
        """Send new events to `listener` from now on."""
        self._groups.setdefault(listener.wanted, set()).add(listener)

    def remove(self, listener: Listener) -> None:
        """Remove `listener`."""
        group = self._groups.get(listener.wanted, set())
        group.discard(listener)
        if not group:
            self._groups.pop(listener.wanted, None)

    def need_customers(self) -> bool:
        """Return whether any listener filters by customer."""
        return any(wanted.customers for wanted in self._groups)

    def close(self, reason: str) -> None:
        """Close all listeners."""
        self.close_where(lambda wanted: True, reason)

    def close_where(self, which: Callable[[Wanted], bool], reason: str) -> None:
        """Close the listeners whose filters `which` selects."""
        for wanted, group in self._groups.items():
            if which(wanted):
                for listener in group:
                    listener.close(reason)

    def tell(self, news: Iterable[tuple[StreamedEvent, str | None, bytes]]) -> list[Listener]:
        """Queue events, given with their customer and message; return the listeners that received any."""
        told: list[Listener] = []
        batch = list(news)
        for wanted, group in self._groups.items():
            chunk = b"".join([sent for event, customer, sent in batch if wanted.takes(event, customer)])
            if chunk:
                for listener in group:
                    listener.put(chunk)
                told += group
        return told


async def wake(listeners: Iterable[Listener]) -> None:
    """Wake listeners in small groups, because each writes to its socket at once and other tasks need turns."""
    for number, listener in enumerate(listeners, 1):
        listener.wake()
        if number % WOKEN_AT_ONCE == 0:
            await asyncio.sleep(0)
