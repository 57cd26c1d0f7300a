"""Write an archive of an installation, or of one order or product, while the system runs.

OccupiedDirectory              the directory for the archive has files already

Idempotency keys are the only data that is neither on a topic nor can be rebuilt from one. They are exported without
their answers: a request that is repeated after an import continues under the id of its command. That its command is in
Kafka is exported only if the command is in the archive: a repeat would wait for its outcome in vain.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from bson import json_util

from ops.archive import cut as cuts
from ops.archive.files import FORMAT, File, Line, Manifest, Writer, remove, write_manifest
from ops.errors import Misconfigured
from ops.kafka import records
from ops.progress import ShowProgress, silent
from parking.letter import letter_in
from projections.document import Document
from projections.mongo.client import Mongo
from projections.mongo.idempotency import ENDED
from projections.mongo.indexes import IDEMPOTENCY
from streams.kafka.partitions import partition_of
from streams.messages.cloudevents import glimpse
from streams.messages.envelope import now
from streams.runtime.settings import Settings
from streams.topics import COMMAND_OUTCOMES, CUSTOMER_KEYS, DEAD_LETTERS, has_customer_keys

Span = Mapping[int, tuple[int, int]]
Choose = Callable[[Any], Any | None]  # returns the record to write, None to leave it out


class OccupiedDirectory(Misconfigured):
    """The directory for the archive has files already."""


class Awaited:
    """The commands that idempotency keys name as certainly sent; read before the records, which are looked up in it."""

    def __init__(self, sent: set[str]) -> None:
        self._sent, self._archived = sent, set[str]()

    @classmethod
    async def read(cls, settings: Settings) -> "Awaited":
        """Read the ids; there are few, because only keys without a final answer name a command."""
        mongo = Mongo(settings)
        try:
            query = {"sent": {"$type": "string"}}
            return cls({each["sent"] async for each in mongo.collection(IDEMPOTENCY).find(query, {"sent": 1})})
        finally:
            await mongo.close()

    def found(self, command_id: str | None) -> None:
        """Record that a command, its outcome or its letter is in the archive."""
        if command_id in self._sent:
            self._archived.add(command_id)

    def exported(self, key: Document) -> Document:
        """Return an idempotency key as it is exported."""
        sent = key.get("sent")
        return {**key, "answer": None, "leasedUntil": ENDED, "sent": sent if sent in self._archived else None}


async def idempotency_keys(settings: Settings, awaited: Awaited) -> AsyncIterator[bytes]:
    """Yield the idempotency keys, as extended JSON, without their answers."""
    mongo = Mongo(settings)
    try:
        async for document in mongo.collection(IDEMPOTENCY).find():
            yield json_util.dumps(awaited.exported(document)).encode()
    finally:
        await mongo.close()


def export_aggregate(settings: Settings, directory: Path, topic: str, key: str, progress: ShowProgress = silent) -> int:
    """Export the events of one order or product; return their number, and leave no files if it has none."""
    number = partition_of(key.encode(), settings.partitions)
    begin, end = records.watermarks(settings, topic)[number]
    with _Archive(settings, directory, progress, (topic, key)).opened() as archive:
        archive.add(topic, {number: (begin, end)}, lambda record: record if record.key == key.encode() else None)
        if not archive.files[0].records:
            raise Misconfigured(f"{topic} has no events of {key!r}: check the id.")
    return archive.files[0].records


def export_all(settings: Settings, directory: Path, progress: ShowProgress = silent) -> Manifest:
    """Export everything that an import needs; the system may be running."""
    with _Archive(settings, directory, progress).opened() as archive:
        cut, awaited = cuts.take(settings), asyncio.run(Awaited.read(settings))
        chosen = {
            DEAD_LETTERS.name: _letters(cut, awaited),
            COMMAND_OUTCOMES.name: _outcomes(cut, awaited),
            **{topic.name: lambda record: record for topic in cuts.EVENTS},
            **{topic.name: _pending(cut, topic.name, awaited) for topic in cuts.COMMANDS},
        }
        for name, choose in chosen.items():
            archive.add(name, cut.spans[name], choose)
        if has_customer_keys(settings):
            archive.add(CUSTOMER_KEYS.name, *_keys(settings))
        asyncio.run(archive.add_documents(IDEMPOTENCY, idempotency_keys(settings, awaited)))
    return archive.manifest


def _keys(settings: Settings) -> tuple[Span, Choose]:
    """Return the whole topic of customers' keys as it is after the cut, and which records to write: no erased keys."""
    span = records.watermarks(settings, CUSTOMER_KEYS.name)
    ends, last = records.ends_of(span), dict[bytes | None, int]()
    for batch in records.read(settings, CUSTOMER_KEYS.name, {n: begin for n, (begin, _) in span.items()}, ends):
        last |= {record.key: record.offset for record in batch}

    def choose(record: Any) -> Any | None:
        return record if record.value is not None and last[record.key] == record.offset else None

    return span, choose


def _letters(cut: cuts.Cut, awaited: Awaited) -> Choose:
    def choose(record: Any) -> Any:
        if (letter := letter_in(record.value)) is not None:
            awaited.found(letter.command_id)
            for topic in cuts.COMMANDS:
                if letter.topic.endswith(topic.name):
                    cut.add_letter(topic.name, letter)
        return record

    return choose


def _outcomes(cut: cuts.Cut, awaited: Awaited) -> Choose:
    def choose(record: Any) -> Any | None:
        if not cut.has_outcome(record):
            return None
        awaited.found((record.key or b"").decode(errors="replace"))
        return record

    return choose


def _pending(cut: cuts.Cut, topic: str, awaited: Awaited) -> Choose:
    def choose(record: Any) -> Any | None:
        if not cut.has_pending(topic, record):
            return None
        awaited.found(cuts.command_id(record, glimpse(record.value, record.headers)))
        return _identified(record)

    return choose


def _identified(record: Any) -> Any:
    """Return a command with its id: without one, the id depends on its offset, which is another after an import."""
    envelope = glimpse(record.value, record.headers)
    if envelope.get("id") or not envelope.get("type"):
        return record
    header = ("ce_id", cuts.command_id(record, envelope).encode())
    record.headers = (*record.headers, header)
    return record


class _Archive:
    """An archive that is being written."""

    def __init__(
        self, settings: Settings, directory: Path, progress: ShowProgress, aggregate: tuple[str, str] | None = None
    ) -> None:
        self.settings, self.directory, self.progress = settings, directory, progress
        self.files: list[File] = []
        self.manifest = Manifest(FORMAT, now(), settings.partitions, settings.prefix, aggregate, self.files)
        self._paths: list[Path] = []

    @contextmanager
    def opened(self) -> Iterator["_Archive"]:
        """Write the manifest if everything succeeds; otherwise delete what was written."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if any(self.directory.iterdir()):
            raise OccupiedDirectory(f"{self.directory} is not empty: name a new directory for the archive.")
        try:
            yield self
            write_manifest(self.directory, self.manifest)
        except BaseException:
            remove(self._paths)
            raise

    def _writer(self, name: str, topic: str | None) -> Writer:
        writer = Writer(self.directory, name, topic)
        self._paths.append(writer.path)
        return writer

    def add(self, topic: str, span: Span, choose: Choose) -> None:
        """Write the records of a topic that `choose` returns."""
        begins, ends = {n: begin for n, (begin, _) in span.items()}, {n: end for n, (_, end) in span.items()}
        writer, encode = self._writer(topic, topic), msgspec.json.Encoder().encode
        total = sum(ends.values()) - sum(begins.values())
        with self.progress(topic, total) as advance:
            done = 0
            for batch in records.read(self.settings, topic, begins, ends):
                for record in cuts.readable([batch]):
                    if (chosen := choose(record)) is not None:
                        writer.write(encode(Line.of(chosen)), chosen.partition)
                done += len(batch)
                advance(len(batch))
            advance(total - done)  # offsets without a record
        self.files.append(writer.close(begins, ends))

    async def add_documents(self, name: str, documents: AsyncIterator[bytes]) -> None:
        """Write documents of MongoDB."""
        writer = self._writer(name, None)
        async for document in documents:
            writer.write(document)
        self.files.append(writer.close())
