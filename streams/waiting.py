"""Who waits for which command's outcome, in this process."""

from asyncio import Future, get_running_loop
from types import TracebackType

from .messages import Outcome


class Waiting:
    """Futures by command id; several may wait for the same command."""

    def __init__(self) -> None:
        self._futures: dict[bytes, list[Future[Outcome]]] = {}
        self.read: dict[int, int] = {}  # partition of the outcomes → behind the last one that this process has read

    def __len__(self) -> int:
        return len(self._futures)

    def __contains__(self, key: bytes | None) -> bool:
        """Whether somebody waits for the command whose id is `key`, as it is on Kafka."""
        return key in self._futures

    def of(self, command_id: str) -> "Waiter":
        """Return a context in which the outcome of `command_id` can be awaited; begin it before sending."""
        return Waiter(self._futures, command_id.encode())

    def resolve(self, outcome: Outcome) -> None:
        """Wake whoever waits for `outcome`."""
        for future in self._futures.get(outcome.command_id.encode(), ()):
            if not future.done():
                future.set_result(outcome)


class Waiter:
    """One who waits; leaving the context, however it ends, forgets him."""

    __slots__ = ("_futures", "_key", "future")

    def __init__(self, futures: dict[bytes, list[Future[Outcome]]], key: bytes) -> None:
        self._futures, self._key = futures, key
        self.future: Future[Outcome] = get_running_loop().create_future()

    async def __aenter__(self) -> Future[Outcome]:
        self._futures.setdefault(self._key, []).append(self.future)
        return self.future

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        others = self._futures[self._key]
        others.remove(self.future)
        if not others:
            del self._futures[self._key]
        self.future.cancel()
