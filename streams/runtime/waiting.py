"""The requests of this process that wait for a command's outcome."""

from asyncio import Future, get_running_loop
from types import TracebackType

from streams.messages.envelope import CommandMessage, Outcome


class Waiting:
    """Waiting requests by command id; several may wait for one command, or for commands with the same id."""

    def __init__(self) -> None:
        self._waiters: dict[bytes, list[Waiter]] = {}
        self.read: dict[
            int, int
        ] = {}  # partition of the outcomes → the offset after the last outcome that this process has read

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, key: bytes | None) -> bool:
        """Return whether a request waits for a command whose id is `key`, a Kafka key."""
        return key in self._waiters

    def of(self, command: CommandMessage) -> "Waiter":
        """Return a context in which the outcome of `command` can be awaited; begin it before sending."""
        return Waiter(self._waiters, command)

    def resolve(self, outcome: Outcome) -> None:
        """Wake the requests that `outcome` answers."""
        for waiter in self._waiters.get(outcome.command_id.encode(), ()):
            if not waiter.future.done() and outcome.answers(waiter.command):
                waiter.future.set_result(outcome)


class Waiter:
    """A waiting request; leaving the context, however it ends, removes it."""

    __slots__ = ("_waiters", "command", "future")

    def __init__(self, waiters: dict[bytes, list["Waiter"]], command: CommandMessage) -> None:
        self._waiters, self.command = waiters, command
        self.future: Future[Outcome] = get_running_loop().create_future()

    async def __aenter__(self) -> Future[Outcome]:
        self._waiters.setdefault(self.command.id.encode(), []).append(self)
        return self.future

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        key = self.command.id.encode()
        others = self._waiters[key]
        others.remove(self)
        if not others:
            del self._waiters[key]
        self.future.cancel()
