"""Write an archive of an installation, or of one order or product, while the system runs.

OccupiedDirectory              the directory for the archive has files already

Idempotency keys are the only data that is neither on a topic nor can be rebuilt from one. They are exported without
their answers: a request that is repeated after an import continues under the id of its command, which tells whether the
command is in the archive.
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
from projections.mongo.client import Mongo
from projections.mongo.idempotency import ENDED
from projections.mongo.indexes import IDEMPOTENCY
from streams.kafka.partitions import partition_of
from streams.messages.cloudevents import glimpse
from streams.messages.envelope import now
from streams.runtime.settings import Settings
from streams.topics import COMMAND_OUTCOMES, DEAD_LETTERS

Span = Mapping[int, tuple[int, int]]
Choose = Callable[[Any], Any | None]  # returns the record to write, None to leave it out


class OccupiedDirectory(Misconfigured):
    """The directory for the archive has files already."""


async def idempotency_keys(settings: Settings) -> AsyncIterator[bytes]:
    """Yield the idempotency keys, as extended JSON, without their answers."""
    mongo = Mongo(settings)
    try:
        async for document in mongo.collection(IDEMPOTENCY).find():
            yield json_util.dumps({**document, "answer": None, "leasedUntil": ENDED}).encode()
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
        cut = cuts.take(settings)
        asyncio.run(archive.add_documents(IDEMPOTENCY, idempotency_keys(settings)))
        archive.add(DEAD_LETTERS.name, cut.spans[DEAD_LETTERS.name], lambda record: _noted(record, cut))
        archive.add(
            COMMAND_OUTCOMES.name,
            cut.spans[COMMAND_OUTCOMES.name],
            lambda record: record if cut.has_outcome(record) else None,
        )
        for topic in cuts.EVENTS:
            archive.add(topic.name, cut.spans[topic.name], lambda record: record)
        for topic in cuts.COMMANDS:
            archive.add(topic.name, cut.spans[topic.name], _pending(cut, topic.name))
    return archive.manifest


def _noted(record: Any, cut: cuts.Cut) -> Any:
    """Remember which command a dead letter is about: it waits there, or was refused, and is not decided again."""
    if (letter := letter_in(record.value)) is not None:
        for topic in cuts.COMMANDS:
            if letter.topic.endswith(topic.name):
                cut.lettered.add((topic.name, letter.partition, letter.offset))
    return record


def _pending(cut: cuts.Cut, topic: str) -> Choose:
    def choose(record: Any) -> Any | None:
        return _identified(record) if cut.has_pending(topic, record) else None

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
