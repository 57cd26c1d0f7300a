"""A fetch in portions: where Kafka refuses the transaction of a fetch for good, its records are handled by halves.

A record that is refused alone is handled by other means (`Resort`): an aggregate's command is parked, or at last
rejected; the process manager stops the partition at its event. All others are committed as usual. Where the record is
not the cause, as when the service lacks a right, its partition stops, and is tried again until Kafka takes it.
"""

from collections import deque
from collections.abc import Callable, Container, Iterable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from faust.types import TP

from streams.kafka.transactions import NOT_ALLOWED, TOO_LARGE, RefusedByKafka
from streams.kafka.transport import Fetch, Part

from .decided import Decided

SMALL_BYTES = 1_024  # a topic that refuses so small a message as too large refuses nearly all
MOST_IN_A_ROW = 10  # records set aside without one in between that the same topic took

Event = tuple[str, int, int]  # topic, partition, offset
Record = tuple[TP, Any]  # a partition, and a record of it
Decide = Callable[[Fetch], Decided]


class Resort(IntEnum):
    """How a record is handled that was refused alone; the next one where that is refused as well."""

    SINGLY = 1  # as usual, but each message in a batch of its own, and with nothing beside it
    ASIDE = 2  # a command is parked; an event stops its partition
    REJECTED = 3  # the command is rejected; its dead letter says where it is instead of quoting it


class Refusal(NamedTuple):
    """How a record is to be handled, and why."""

    resort: Resort
    why: RefusedByKafka


class Committing(Protocol):
    """What portions ask of their worker."""

    refusals: dict[Event, Refusal]

    @property
    def skipped(self) -> Container[Event]:
        """The records that an operator said to skip."""

    async def commit(self, fetch: Fetch, decided: Decided, *, singly: bool = False) -> None:
        """Write what a fetch led to; `RefusedByKafka` when Kafka will not take it."""

    def is_stopped(self, tp: TP) -> bool:
        """Return whether a partition goes no further."""

    def stop_partition(self, tp: TP, record: Any, bug: Exception) -> None:
        """Go no further in a partition; where Kafka refused the record, try it again later."""


class Portions:
    """Handles fetches in portions."""

    def __init__(self, worker: Committing) -> None:
        self._worker = worker
        self._in_a_row: dict[str | None, int] = {}  # topic → records set aside since it last took one

    async def commit(self, fetch: Fetch, records: Sequence[Record], decide: Decide) -> None:
        """Decide and commit `records` of a fetch by halves; it is done once all are, or their partitions stopped."""
        handled: dict[TP, list[Any]] = {tp: [] for tp in fetch.parts}
        stopped_before = {tp for tp in fetch.parts if self._worker.is_stopped(tp)}
        waiting = deque([records])
        while waiting:
            portion = [
                each for each in waiting.popleft() if each[0] in stopped_before or not self._worker.is_stopped(each[0])
            ]
            if not portion:
                continue
            part = _part_of(fetch, portion)
            try:
                await self._as_usual(part, decide)
            except RefusedByKafka as why:
                if len(portion) > 1:
                    half = len(portion) // 2
                    waiting.extendleft([portion[half:], portion[:half]])
                    continue
                part = await self._alone(fetch, portion[0], decide, why)
            if not part.done:
                return  # the partitions may be another's now; what is not committed is read again
            for tp, one in part.parts.items():
                handled[tp] += one.records
        for tp, one in fetch.parts.items():
            one.records = handled[tp]
        fetch.done = True

    def taken(self, decided: Decided) -> None:
        """Remember which topics took what was decided as usual."""
        if self._in_a_row:
            for write in decided.writes:
                self._in_a_row.pop(write.topic, None)

    async def _as_usual(self, part: Fetch, decide: Decide) -> None:
        decided = decide(part)
        await self._worker.commit(part, decided)
        if part.done:
            self.taken(decided)

    async def _alone(self, fetch: Fetch, record: Record, decide: Decide, why: RefusedByKafka) -> Fetch:
        """Handle one record that was refused alone; return it as a fetch, without records if its partition stopped."""
        tp, at = record[0], (record[1].topic, record[1].partition, record[1].offset)
        refused = Decided()
        resorts = (Resort.REJECTED,) if at in self._worker.skipped else tuple(Resort)
        for resort in resorts:
            if resort is not resorts[-1] and self._is_not_the_cause(resort, why, refused):
                break
            part = _part_of(fetch, [record])
            self._worker.refusals[at] = Refusal(resort, why)
            refused = decide(part)
            del self._worker.refusals[at]
            try:
                await self._worker.commit(part, refused, singly=True)
            except RefusedByKafka as again:
                why = again
                continue
            if resort is not Resort.SINGLY and part.done and part.parts[tp].records:
                self._in_a_row[why.topic] = self._in_a_row.get(why.topic, 0) + 1
            return part
        self._worker.stop_partition(tp, record[1], why)
        return Fetch(fetch.epoch, fetch.member, {tp: Part(record[1].offset, [])}, done=True)

    def _is_not_the_cause(self, resort: Resort, why: RefusedByKafka, refused: Decided) -> bool:
        """Return whether Kafka seems to refuse whatever is sent, so that the record has nothing to do with it."""
        if why.code in NOT_ALLOWED:
            return True
        if resort is Resort.SINGLY:
            return False
        if self._in_a_row.get(why.topic, 0) >= MOST_IN_A_ROW:
            return True
        sizes = [len(write.value or b"") for write in refused.writes if why.topic in (None, write.topic)]
        return why.code in TOO_LARGE and max(sizes, default=0) < SMALL_BYTES


def _part_of(fetch: Fetch, records: Iterable[Record]) -> Fetch:
    """Return some records of a fetch as a fetch of its own."""
    by_partition: dict[TP, list[Any]] = {}
    for tp, record in records:
        by_partition.setdefault(tp, []).append(record)
    parts = {tp: Part(some[0].offset, some) for tp, some in by_partition.items()}
    return Fetch(fetch.epoch, fetch.member, parts)
