"""How far a subscription is delivered in one partition. Pure: positions are remembered, never events.

A record is *pending* from when it is read until it is delivered. After a failure, the offsets of its order (or product)
are *waiting*: the first is retried, and later events of the order join the end, so that their order is kept. Other
orders are not affected. Everything before `position` is delivered, waiting, parked, or not wanted.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import asdict


class Waiting(Struct):
    """The events of one order or product that wait for a receiver; times are Unix times in seconds."""

    key: str
    offsets: list[int]
    attempts: int  # number of times that the first event was sent
    since: float  # when it first failed
    due: float  # when it is tried again
    reason: str


Verdict = Literal["retry", "park event", "park subscription"]


def verdict(waiting: Waiting, now: float, patience: float, last_success: float) -> Verdict:
    """Return what to do after a failed attempt, `patience` seconds being the time for which it is retried.

    If the receiver took other events in that time, only this event is refused; otherwise, the receiver is down.
    """
    if now - waiting.since < patience:
        return "retry"
    return "park event" if last_success > waiting.since else "park subscription"


class Lane(Struct):
    """The progress in one partition."""

    next: int  # the offset to read next
    waiting: dict[str, Waiting] = field(default_factory=dict)
    pending: dict[int, None] = field(default_factory=dict)  # in the order of offsets

    @property
    def position(self) -> int:
        """The offset at which another process would continue."""
        return next(iter(self.pending), self.next)

    @property
    def backlog(self) -> int:
        """The number of events that wait for a receiver."""
        return sum(len(each.offsets) for each in self.waiting.values())

    def passed(self, offset: int) -> None:
        """Remember that everything before `offset` was read."""
        self.next = max(self.next, offset)

    def take(self, key: str, offset: int) -> bool:
        """Take a record; return whether it is to be delivered now, and not after others of its order that wait."""
        self.passed(offset + 1)
        if (waiting := self.waiting.get(key)) is not None:
            if offset > waiting.offsets[-1]:  # otherwise it is read again, and was delivered or waits already
                waiting.offsets.append(offset)
            return False
        self.pending[offset] = None
        return True

    def delivered(self, offset: int) -> None:
        """Remember that a pending record was delivered."""
        del self.pending[offset]

    def failed(self, key: str, offsets: list[int], now: float, due: float, reason: str) -> None:
        """Let pending records of an order wait, because the first one failed."""
        for offset in offsets:
            del self.pending[offset]
        self.waiting[key] = Waiting(key, offsets, 1, now, due, reason)

    def again(self, waiting: Waiting, due: float, reason: str) -> None:
        """Remember that a retry failed."""
        waiting.attempts, waiting.due, waiting.reason = waiting.attempts + 1, due, reason

    def settled(self, waiting: Waiting, now: float) -> None:
        """Remember that the first waiting event was delivered or parked; the next one of the order is due."""
        del waiting.offsets[0]
        waiting.attempts, waiting.since, waiting.due, waiting.reason = 0, now, now, ""
        if not waiting.offsets:
            del self.waiting[waiting.key]

    def as_document(self) -> dict[str, Any]:
        """Return the lane as it is stored."""
        return {"position": self.position, "waiting": list(_documents(self.waiting.values()))}

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Lane":
        """Return a stored lane."""
        return cls(
            document["position"],
            {each["key"]: Waiting(**{**each, "offsets": list(each["offsets"])}) for each in document["waiting"]},
        )


def _documents(waiting: Iterable[Waiting]) -> Iterator[dict[str, Any]]:
    for each in waiting:
        yield {**asdict(each), "offsets": list(each.offsets)}  # a copy, which does not change any more
