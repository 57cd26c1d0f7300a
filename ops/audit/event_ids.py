"""Find event ids that are not unique: a subscriber that deduplicates by id would lose such events.

Millions of ids are compared, so only a hash of each is kept (8 bytes). If two hashes are equal, the topics are read
again to find the events, and to rule out different ids with the same hash.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import orjson

from ops.audit.buckets import digest
from ops.audit.report import Kind, Report
from ops.kafka import records
from streams.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Holder:
    """An event with its id."""

    topic: str
    key: str
    type: str
    sequence: int | None

    def __str__(self) -> str:
        return f"{self.type}, sequence {self.sequence}, of {self.key} in {self.topic}"


def suspects(digests: Iterable[bytes]) -> set[bytes]:
    """Return the hashes that occur more than once."""
    return {one for one, other in pairwise(sorted(digests)) if one == other}


def report_same(
    settings: Settings, ends: Mapping[str, records.Offsets], hashes: Collection[bytes], report: Report
) -> None:
    """Report every event whose id an earlier event has; `ends`: topic → end of the audit. Blocks."""
    if not hashes:
        return
    first: dict[str, Holder] = {}
    for topic, upto in ends.items():
        for identifier, holder in _holders(settings, topic, upto):
            if digest(identifier) not in hashes:
                continue
            if (other := first.setdefault(identifier, holder)) is not holder:
                what = f"{holder}: its id {identifier} is also the id of {other}"
                report.drift(Kind.EVENT_ID, topic, holder.key, what)


def _holders(settings: Settings, topic: str, ends: records.Offsets) -> Iterator[tuple[str, Holder]]:
    """Yield the events of a topic with their ids, each partition in order; other records were reported before."""
    for batch in records.read(settings, topic, records.begins(settings, topic), ends):
        for record in batch:
            try:
                envelope = orjson.loads(record.value or b"")
                identifier, name = envelope["id"], envelope["type"]
            except (orjson.JSONDecodeError, KeyError, TypeError):
                continue
            key = (record.key or b"").decode(errors="replace")
            yield identifier, Holder(topic, key, name, envelope.get("sequence"))
