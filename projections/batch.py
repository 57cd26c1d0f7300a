"""A batch in memory, decoded: each record once, for all projections that read it. Pure, no I/O."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Container, Sequence
from typing import Any

from projections.projection import Model, Projection, Record
from projections.stopped import Gap, Stop
from streams.kafka.unreadable import CannotRead, Unreadable
from streams.messages.envelope import EventMessage

Decode = Callable[[Record], Any]


class Decoded:
    """Consecutive records of a partition; each is decoded once for all projections that read it."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self._messages: dict[Decode, dict[int, Any]] = defaultdict(dict)

    def behind(self, offset: int) -> Sequence[Record]:
        """Return the records from `offset` onwards."""
        return self.records[bisect_left(self.records, offset, key=_offset) :]

    def messages(self, decode: Decode) -> dict[int, Any]:
        """Return offset → message of the decoded records; a projection that decodes another record adds it."""
        return self._messages[decode]


def _offset(record: Record) -> int:
    return record.offset


class Part:
    """The part of a batch for one partition, as one projection processes it.

    `skipped`: offsets of records that are skipped if they cannot be projected; `passed_over`: offsets of records that
    are skipped because their documents cannot be written.
    """

    def __init__(
        self,
        projection: Projection,
        topic: str,
        partition: int,
        records: Sequence[Record],
        skipped: Container[int] = (),
        decoded: Decoded | None = None,
        passed_over: Container[int] = (),
    ) -> None:
        self.projection, self.topic, self.partition, self.skipped = projection, topic, partition, skipped
        self.records = records
        self.owner = (projection.id, topic, partition)
        self.next_offset = records[-1].offset + 1
        self.stop: Stop | None = None
        self.passed_over = passed_over
        self.messages: list[tuple[Record, Any]] = []
        self._read((decoded or Decoded(records)).messages(projection.decode))

    def _read(self, known: dict[int, Any]) -> None:
        """Decode unknown records up to the first invalid one; this and `Folding` are most of a message's cost."""
        decode, sees, messages = self.projection.decode, self.projection.sees, self.messages
        for record in self.projection.read_of(self.records):
            offset = record.offset
            try:
                if (message := known.get(offset)) is None:
                    message = known[offset] = decode(record)
                seen = message if sees is None else sees(message, record)
            except Exception as error:
                if offset in self.skipped:
                    continue
                if isinstance(record, Unreadable):
                    self.stop_at(offset, CannotRead(str(record)))
                    self.next_offset = record.first
                else:
                    self.stop_at(offset, error)
                return
            if seen is not None:
                messages.append((record, seen))

    def stop_at(self, offset: int, error: Exception) -> None:
        """Process no records from `offset` onwards."""
        reason = str(error) if isinstance(error, Gap | CannotRead) else f"{type(error).__name__}: {error}"
        self.stop = Stop(self.topic, self.partition, offset, reason)
        self.next_offset = offset

    def firsts(self, model: Model) -> dict[str, EventMessage]:
        """Return the first event in this part of each key that `model` has."""
        firsts: dict[str, EventMessage] = {}
        key_of = model.key
        for _, message in self.messages:
            if (key := key_of(message)) is not None:
                firsts.setdefault(key, message)
        return firsts
