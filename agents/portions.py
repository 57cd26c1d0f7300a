"""Handles a fetch in portions: if Kafka refuses its transaction for good, its records are halved until it accepts them.

A record that is refused alone is handled by other means (`Resort`): its command is parked, or finally rejected. All
others are committed as usual. If the record is not the cause, for instance because the service lacks a permission, its
partition stops and is retried until Kafka accepts it.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from faust.types import TP

from streams.kafka.received import coordinates
from streams.kafka.transactions import NOT_ALLOWED, TOO_LARGE, RefusedByKafka
from streams.kafka.transport import Fetch, Offsets, Part

from .deciding import Decided
from .refusing import Refusal, Resort

SMALL_BYTES = 1_024  # a topic that refuses so small a message as too large refuses nearly all
MOST_IN_A_ROW = 10  # records set aside since the same topic last accepted one

Record = tuple[TP, Any]  # a partition, and a record of it


class Stops(Protocol):
    """The partitions of a worker that are stopped."""

    @property
    def skips(self) -> Any:
        """The records that an operator skips."""

    def is_stopped(self, tp: TP) -> bool:
        """Return whether a partition is stopped."""

    def stop(self, tp: TP, record: Any, why: Exception) -> None:
        """Stop a partition; if Kafka refused the record, retry it later."""


class Committing(Protocol):
    """The part of a worker that portions use."""

    stopping: Stops

    def decide(self, fetch: Fetch, refusal: Refusal | None = None) -> Decided:
        """Decide a fetch; `refusal` says how to handle its only record if Kafka refused that."""

    async def commit(self, fetch: Fetch, decided: Decided, *, singly: bool = False) -> Offsets | None:
        """Commit a decided fetch; return None if that was aborted, raise `RefusedByKafka` if Kafka refuses it."""


class Portions:
    """Handles fetches in portions."""

    def __init__(self, worker: Any) -> None:
        self._worker: Committing = worker
        self._in_a_row: dict[str | None, int] = {}  # topic → records set aside since it last accepted one

    async def commit(self, fetch: Fetch) -> Offsets | None:
        """Commit a fetch, halving it as needed; return the handled offsets, or None if the rest must be read again."""
        handled = {tp: part.began for tp, part in fetch.parts.items()}
        waiting = deque([[(tp, record) for tp, part in fetch.parts.items() for record in part.records]])
        while waiting:
            portion = [each for each in waiting.popleft() if not self._worker.stopping.is_stopped(each[0])]
            if not portion:
                continue
            try:
                offsets = await self._as_usual(_part_of(fetch, portion))
            except RefusedByKafka as why:
                if len(portion) > 1:
                    half = len(portion) // 2
                    waiting.extendleft([portion[half:], portion[:half]])
                    continue
                offsets = await self._alone(fetch, portion[0], why)
            if offsets is None:
                return None  # the partitions may have a new owner, which reads the rest again
            handled |= offsets
        return handled

    def taken(self, decided: Decided) -> None:
        """Remember which topics accepted a fetch that was decided as usual."""
        if self._in_a_row:
            for write in decided.writes:
                self._in_a_row.pop(write.topic, None)

    async def _as_usual(self, part: Fetch) -> Offsets | None:
        decided = self._worker.decide(part)
        offsets = await self._worker.commit(part, decided)
        if offsets is not None:
            self.taken(decided)
        return offsets

    async def _alone(self, fetch: Fetch, refused: Record, why: RefusedByKafka) -> Mapping[TP, int] | None:
        """Handle one record that was refused alone; return the offset after it, nothing if its partition stopped."""
        tp, record = refused
        decided = Decided()
        resorts = (Resort.REJECTED,) if coordinates(record) in self._worker.stopping.skips.reasons else tuple(Resort)
        for resort in resorts:
            if resort is not resorts[-1] and self._is_not_the_cause(resort, why, decided):
                break
            part = _part_of(fetch, [refused])
            decided = self._worker.decide(part, Refusal(resort, why))
            try:
                offsets = await self._worker.commit(part, decided, singly=True)
            except RefusedByKafka as again:
                why = again
                continue
            if resort is not Resort.SINGLY and offsets is not None and decided.handled[tp].records:
                self._in_a_row[why.topic] = self._in_a_row.get(why.topic, 0) + 1
            return offsets
        self._worker.stopping.stop(tp, record, why)
        return {}

    def _is_not_the_cause(self, resort: Resort, why: RefusedByKafka, refused: Decided) -> bool:
        """Return whether Kafka seems to refuse every message, so that the record is not the cause."""
        if why.code in NOT_ALLOWED:
            return True
        if resort is Resort.SINGLY:
            return False
        if self._in_a_row.get(why.topic, 0) >= MOST_IN_A_ROW:
            return True
        writes = [write for write in refused.writes if why.topic in (None, write.topic)]
        sizes = [len(write.key or b"") + len(write.value or b"") for write in writes]
        return why.code in TOO_LARGE and max(sizes, default=0) < SMALL_BYTES


def _part_of(fetch: Fetch, records: Iterable[Record]) -> Fetch:
    """Return some records of a fetch as a fetch of its own."""
    by_partition: dict[TP, list[Any]] = {}
    for tp, record in records:
        by_partition.setdefault(tp, []).append(record)
    parts = {tp: Part(some[0].offset, some) for tp, some in by_partition.items()}
    return Fetch(fetch.epoch, fetch.member, parts)
