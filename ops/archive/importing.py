"""Import an archive into an empty installation.

AnotherArchive                 the unfinished import is of another archive
Disturbed                      another producer wrote to a topic during the import

The topic `unfinished-import` exists from before the first record is written until the tables are rebuilt; it contains
the checksum of the archive. Deciding workers refuse to start while it exists. Records are written without transactions,
so a partition always has the first records of its part of the archive, and its end is their number: an import that was
interrupted continues there. The last record of a partition shows whether another producer has written to it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from bson import json_util
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from msgspec.structs import replace
from pymongo import UpdateOne
from pymongo.errors import PyMongoError

from ops.archive import cut as cuts
from ops.archive.empty import NotEmpty, refuse_data, refuse_records
from ops.archive.files import File, Line, Manifest, lines, raw_lines, read_manifest, verify
from ops.errors import CommandFailed, Misconfigured, Unavailable, mongo_error
from ops.kafka import groups, records
from ops.progress import ShowProgress, silent
from ops.replay.rebuild import PRODUCER, rebuild_tables
from parking.letter import letter_in
from projections.document import Document
from projections.mongo.client import Collection, Mongo
from projections.mongo.indexes import IDEMPOTENCY
from streams.kafka.clients import librdkafka_config
from streams.kafka.import_watch import LOOK_SECONDS
from streams.runtime.settings import Settings
from streams.topic_setup import TIMESTAMPS, TopicMismatch, ensure_topics
from streams.topics import (
    COMMAND_OUTCOMES,
    CUSTOMER_KEYS,
    DEAD_LETTERS,
    UNFINISHED_IMPORT,
    Topic,
    admin,
    describe,
    wait_for_topics,
)
from streams.topology import READING
from streams.wording import counted

ASK_SECONDS, FLUSH_SECONDS = 30.0, 120.0
NOTICED_SECONDS = 2 * LOOK_SECONDS  # an API looks this often for an import, and may wait for an answer
SHOWN_PAUSE = 0.05  # seconds
NOW = 0  # a producer sets the time
PORTION = 1_000  # records between two reports of progress, and keys written at once
# Events, because tables have their times, and outcomes, which expire. Kafka would soon delete old commands and letters
# with their times, although they wait: it keeps them as if they had arrived now.
TIMED = (*cuts.EVENTS, COMMAND_OUTCOMES)


class AnotherArchive(Misconfigured):
    """The unfinished import is of another archive."""


class Disturbed(CommandFailed):
    """Another producer wrote to a topic during the import."""


def import_archive(settings: Settings, directory: Path, progress: ShowProgress = silent) -> list[str]:
    """Import an archive, or continue an import of it that was interrupted; return sentences about what was done."""
    manifest = read_manifest(directory)
    _refuse_unsuitable(settings, manifest)
    verify(directory, manifest, progress)
    with records.kafka(settings):
        return _Import(settings, directory, manifest, progress).run()


def _refuse_unsuitable(settings: Settings, manifest: Manifest) -> None:
    if not settings.encrypts_personal_data and any(file.topic == CUSTOMER_KEYS.name for file in manifest.files):
        raise Misconfigured(
            "Personal data in the archive is encrypted: set FULFILLMENT_PERSONAL_DATA_KEY to the master keys of the "
            "installation that was exported."
        )
    if manifest.partitions != settings.partitions:
        raise Misconfigured(
            f"The archive has {manifest.partitions} partitions, and FULFILLMENT_PARTITIONS is {settings.partitions}: "
            f"set it to {manifest.partitions}."
        )


class _Import:
    def __init__(self, settings: Settings, directory: Path, manifest: Manifest, progress: ShowProgress) -> None:
        self.settings, self.directory, self.manifest, self.progress = settings, directory, manifest, progress
        self.client: AdminClient = admin(settings)
        self.marker = settings.named(UNFINISHED_IMPORT)
        self.timed = {settings.named(topic.name) for topic in TIMED}

    def run(self) -> list[str]:
        groups.refuse_running(self.settings, READING)
        continues = self._has_marker()
        if not continues:
            refuse_data(self.settings, self.client)
            self._mark()
            self._refuse_commands_under_way()
        self._ensure_topics()
        self._keep_times()
        counts = [self._write(file) for file in self.manifest.files if file.topic is not None]
        self._check_ends()
        asyncio.run(self._write_keys())
        self._ensure_topics()  # lets the broker set the times of new records again
        asyncio.run(rebuild_tables(self.settings, self.progress, imported=True))
        self._unmark()
        before = "continued an interrupted import; " if continues else ""
        return [
            f"{before}{counted(sum(counts), 'record')} written, and the tables rebuilt",
            "Start the workers: the projector builds the read models from the events. Then run `fulfillment audit`.",
        ]

    # --- the installation before the import

    def _has_marker(self) -> bool:
        """Return whether an import of this archive was interrupted."""
        if self.marker not in self.client.list_topics(timeout=ASK_SECONDS).topics:
            return False
        found = [record.value for record in self._marks()]
        if found and found[0] != self.manifest.checksum.encode():
            raise AnotherArchive(
                f"An import of another archive (checksum {found[0].decode()[:12]}…) was interrupted: import that "
                "one, or delete the topics and start again."
            )
        if not found:  # interrupted before anything was written
            self._sign()
        return True

    def _marks(self) -> list[Any]:
        one = self.settings.model_copy(update={"partitions": 1})
        return list(records.read_all(one, UNFINISHED_IMPORT))

    # --- the marker

    def _mark(self) -> None:
        topic = NewTopic(self.marker, 1, self.settings.replication, config={"retention.ms": "-1"})
        self.client.create_topics([topic], operation_timeout=ASK_SECONDS)[self.marker].result(ASK_SECONDS)
        wait_for_topics(self.client, {self.marker})
        self._sign()

    def _sign(self) -> None:
        producer = self._producer()
        producer.produce(self.marker, self.manifest.checksum.encode())
        self._flush(producer, self.marker)

    def _unmark(self) -> None:
        self.client.delete_topics([self.marker], operation_timeout=ASK_SECONDS)[self.marker].result(ASK_SECONDS)

    def _refuse_commands_under_way(self) -> None:
        """Raise `NotEmpty` if an API sent a command before it saw the marker."""
        wait_until_noticed()
        try:
            refuse_records(self.settings, self.client)
        except NotEmpty:
            self._unmark()
            raise

    # --- records

    def _ensure_topics(self) -> None:
        try:
            asyncio.run(ensure_topics(self.settings))
        except TopicMismatch as error:
            raise Unavailable(str(error)) from error

    def _keep_times(self) -> None:
        """Let events and outcomes keep their times: tables, retention, `--since` and displays depend on them."""
        entry = ConfigEntry(TIMESTAMPS, "CreateTime", incremental_operation=AlterConfigOpType.SET)
        resources = [
            ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry]) for name in sorted(self.timed)
        ]
        for future in self.client.incremental_alter_configs(resources).values():
            future.result(ASK_SECONDS)
        until = time.monotonic() + ASK_SECONDS
        while not self._keeps_times():  # Kafka confirms a setting before it applies it
            if time.monotonic() > until:
                raise Unavailable(f"Kafka still shows the old {TIMESTAMPS}. Run the command again to continue.")
            time.sleep(SHOWN_PAUSE)

    def _keeps_times(self) -> bool:
        found = describe(self.client, self.settings)
        return all(found[name].config[TIMESTAMPS] == "CreateTime" for name in self.timed)

    def _write(self, file: File) -> int:
        """Write the records of a file that are not on its topic yet; return their number."""
        assert file.topic is not None
        topic, there = self.settings.named(file.topic), self._ends(file.topic)
        last = self._last(file.topic, there)
        producer, seen, written, count = self._producer(), Counter[int](), 0, 0
        with self.progress(file.topic, file.records) as advance:
            for line in lines(self.directory / file.name):
                seen[line.partition] += 1
                if seen[line.partition] > there[line.partition]:
                    self._produce(producer, topic, line)
                    written += 1
                elif seen[line.partition] == there[line.partition] and line.partition in last:
                    self._refuse_another(topic, line, last[line.partition])
                if not (count := seen.total()) % PORTION:
                    advance(PORTION)
            advance(count % PORTION)
            self._flush(producer, topic)
        return written

    def _ends(self, topic: str) -> dict[int, int]:
        (ends,) = cuts.ends_of(self.settings, self.client, [Topic(topic, "")]).values()
        return ends

    def _last(self, topic: str, ends: Mapping[int, int]) -> dict[int, Any | None]:
        """Return the record before the end of each partition, None if that is a transaction marker.

        A partition is left out if it is empty, also because Kafka has deleted old outcomes.
        """
        begins = records.begins(self.settings, topic)
        left = {number: end for number, end in ends.items() if end > begins[number]}
        found = records.read(self.settings, topic, {number: end - 1 for number, end in left.items()}, left)
        return dict.fromkeys(left) | {each.partition: each for each in cuts.readable(found)}

    def _refuse_another(self, topic: str, line: Line, found: Any | None) -> None:
        """Raise `Disturbed` if the record at the place of a line is not the one that was imported."""
        if found is None or (found.key, found.value) != (line.raw_key(), self._value(topic, line)):
            raise Disturbed(
                f"{topic}/{line.partition} has a last record that is not in the archive: another producer wrote to "
                "it. Stop it, delete the topics, and import again."
            )

    def _check_ends(self) -> None:
        for file in self.manifest.files:
            for number, end in (self._ends(file.topic) if file.topic else {}).items():
                expected = part.records if (part := file.partitions.get(number)) else 0
                if end != expected:
                    raise Disturbed(
                        f"{file.topic}/{number} has {end} records, and the archive {expected}: another producer wrote "
                        "to it. Stop it, delete the topics, and import again."
                    )

    def _produce(self, producer: Any, topic: str, line: Line) -> None:
        while True:
            try:
                producer.produce(
                    topic, self._value(topic, line), line.raw_key(), line.partition,
                    on_delivery=_delivered, timestamp=line.timestamp if topic in self.timed else NOW,
                    headers=line.raw_headers(),
                )  # fmt: skip
                producer.poll(0)
                return
            except BufferError:
                producer.poll(0.1)

    def _value(self, topic: str, line: Line) -> bytes | None:
        value = line.raw_value()
        return self._renamed(value) if topic == self.settings.named(DEAD_LETTERS.name) else value

    def _renamed(self, value: bytes | None) -> bytes | None:
        """Return a dead letter whose topic has the prefix of this installation."""
        before, after = self.manifest.prefix, self.settings.prefix
        if before == after or (letter := letter_in(value)) is None or not letter.topic.startswith(before):
            return value
        return replace(letter, topic=after + letter.topic.removeprefix(before)).encode()

    def _producer(self) -> Any:
        return Producer({**librdkafka_config(self.settings), **PRODUCER})

    def _flush(self, producer: Any, topic: str) -> None:
        until = time.monotonic() + FLUSH_SECONDS
        while producer.flush(1.0):
            if time.monotonic() > until:
                raise Unavailable(f"Kafka did not accept all of {topic}: run the command again to continue.")

    # --- documents

    async def _write_keys(self) -> None:
        """Write idempotency keys, except the ones that an interrupted import has written."""
        mongo = Mongo(self.settings)
        try:
            for file in self.manifest.files:
                if file.topic is None:
                    await self._write_documents(mongo.durable(IDEMPOTENCY), file)
        except PyMongoError as error:
            consequence = "The idempotency keys were not imported; run the command again to continue."
            raise mongo_error(self.settings.mongo, error, consequence) from error
        finally:
            await mongo.close()

    async def _write_documents(self, collection: Collection, file: File) -> None:
        with self.progress(IDEMPOTENCY, file.records) as advance:
            writes = (_only_new(json_util.loads(line)) for line in raw_lines(self.directory / file.name))
            while portion := list(islice(writes, PORTION)):
                await collection.bulk_write(portion, ordered=False)
                advance(len(portion))


def wait_until_noticed() -> None:
    """Return when every API refuses commands because of the marker."""
    time.sleep(NOTICED_SECONDS)


def _only_new(document: Document) -> UpdateOne:
    """Return a write that changes nothing if the document exists."""
    rest = {name: value for name, value in document.items() if name != "_id"}
    return UpdateOne({"_id": document["_id"]}, {"$setOnInsert": rest}, upsert=True)


def _delivered(error: Any, _: Any) -> None:
    if error is not None:
        raise Unavailable(f"Kafka did not accept a record: {error}. Run the command again to continue.")
