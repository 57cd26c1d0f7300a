"""Who listens: by what they ask for, so that an event is put together once for all that ask for the same."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .event import LiveEvent

WOKEN_AT_ONCE = 25
QUEUE_BYTES = 1 << 20  # that wait for one listener; a slower one is cut off


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a listener asks for: of each, any of these; empty sets ask for all."""

    types: frozenset[str] = frozenset()
    aggregates: frozenset[str] = frozenset()  # `order`, `inventory`
    subjects: frozenset[str] = frozenset()  # ids of orders and products
    customers: frozenset[str] = frozenset()

    def takes(self, event: LiveEvent, customer: str | None) -> bool:
        """Say whether it asks for `event`, which is about an order of `customer`."""
        return (
            (not self.types or event.type in self.types)
            and (not self.aggregates or event.aggregate in self.aggregates)
            and (not self.subjects or event.subject in self.subjects or event.order_id in self.subjects)
            and (not self.customers or customer in self.customers)
        )


class Listener:
    """A bounded queue of bytes for one client; `closed` says why there will be no more."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.closed: str | None = None
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._news = asyncio.Event()

    def put(self, chunk: bytes) -> None:
        """Queue bytes; a listener that is too far behind is closed instead."""
        if self.closed:
            return
        if self._waiting + len(chunk) > QUEUE_BYTES:
            self.close("too slow: more than 1 MiB waited; go on from the last event id")
            return
        self._chunks.append(chunk)
        self._waiting += len(chunk)

    def wake(self) -> None:
        """Let `take` return what was put."""
        self._news.set()

    def close(self, reason: str) -> None:
        """Say that no more will come."""
        self.closed = self.closed or reason
        self._news.set()

    async def take(self, seconds: float) -> bytes:
        """Return what waits, as soon as there is something; nothing after `seconds`, or once closed."""
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
        """Let `listener` hear what comes from now on."""
        self._groups.setdefault(listener.wanted, set()).add(listener)

    def remove(self, listener: Listener) -> None:
        """Forget `listener`."""
        group = self._groups.get(listener.wanted, set())
        group.discard(listener)
        if not group:
            self._groups.pop(listener.wanted, None)

    def ask_for_customers(self) -> bool:
        """Say whether anybody asks for the events of one customer."""
        return any(wanted.customers for wanted in self._groups)

    def close(self, reason: str) -> None:
        """Close all of them."""
        self.close_where(lambda wanted: True, reason)

    def close_where(self, which: Callable[[Wanted], bool], reason: str) -> None:
        """Close those who want what `which` says."""
        for wanted, group in self._groups.items():
            if which(wanted):
                for listener in group:
                    listener.close(reason)

    def tell(self, news: Iterable[tuple[LiveEvent, str | None, bytes]]) -> list[Listener]:
        """Queue events, each with its customer and as it is sent, for all who ask for them; return who got some."""
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
    """Wake listeners, with turns for others in between: each of them writes to a socket at once."""
    for number, listener in enumerate(listeners, 1):
        listener.wake()
        if number % WOKEN_AT_ONCE == 0:
            await asyncio.sleep(0)
