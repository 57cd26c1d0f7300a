"""The parked letters, folded from `dead-letters`, for processes other than the worker whose table has them.

The workers' tables are the source of truth. Workers repeat letters that wait long, before the topic deletes them.

A book keeps the part of a letter that lists show, a few hundred bytes. Values, headers and stack traces may have
megabytes each: they stay on the topic, and are read from there, letter by letter, on request.
"""

import asyncio
import logging
import time
from bisect import insort
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from msgspec.structs import replace

from parking.letter import DeadLetter, letter_in
from streams.kafka.clients import aiokafka_config
from streams.kafka.gateway import GatewayUnavailable
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.messages.envelope import Aggregate
from streams.runtime.settings import Settings
from streams.topics import DEAD_LETTERS

log = logging.getLogger(__name__)

Key = tuple[Aggregate, str]  # an aggregate
KEPT = 1_000  # the number of letters kept that are not parked
WORDS, KEY_BYTES = 300, 1_000  # characters of a message or reason, and bytes of a key, that a book keeps
PREVIEW_BYTES = 500  # the part of a value that is kept of a letter that is not parked
BACKLOG_MS = 60_000  # a letter that was recorded later than this after its message arrived counts from its record


@dataclass(frozen=True, slots=True)
class Entry:
    """A letter in the book: where its record is on `dead-letters`, and its short fields."""

    partition: int
    offset: int
    moment: int  # Unix milliseconds, by which letters are sorted
    letter: DeadLetter  # without headers and stack trace, and with the beginning of the value at most
    value_bytes: int | None

    @property
    def id(self) -> str:
        """The letter's id: where its record is."""
        return f"{self.partition}-{self.offset}"

    @property
    def order(self) -> tuple[int, int, int]:
        """The sort key of lists, the oldest first."""
        return self.moment, self.partition, self.offset


class Letterbook:
    """The parked letters, aggregate by aggregate in their order, and the newest of all others."""

    def __init__(self) -> None:
        self._queues: dict[Key, dict[int, Entry]] = {}  # by offset: an aggregate's are of one partition
        self._commands: dict[str, list[Entry]] = {}  # by id: several commands may have the same one
        self._others: list[Entry] = []  # the newest last

    def add(self, letter: DeadLetter, partition: int, offset: int, recorded_ms: int) -> None:
        """Add a record of `dead-letters`; records of one aggregate are on one partition, so they arrive in order."""
        entry = _entry(letter, partition, offset, recorded_ms)
        if letter.aggregate is None or letter.aggregate_id is None or letter.command_id is None:
            self._keep(entry)
            return
        key = letter.aggregate, letter.aggregate_id
        if letter.kind != "parked":
            self._keep(entry)
        if letter.kind in ("parked", "retried", "discarded"):
            self._remove(key, letter)
        if letter.kind == "parked":
            self._queues.setdefault(key, {})[letter.offset] = entry
            self._commands.setdefault(letter.command_id, []).append(entry)

    def _keep(self, entry: Entry) -> None:
        insort(self._others, entry, key=lambda each: each.order)
        if len(self._others) > KEPT:
            del self._others[0]

    def _remove(self, key: Key, letter: DeadLetter) -> None:
        """Forget the letter of the same record."""
        queue = self._queues.get(key, {})
        before = queue.pop(letter.offset, None)
        if not queue:
            self._queues.pop(key, None)
        if before is not None and (command_id := before.letter.command_id) is not None:
            same = self._commands[command_id]
            same.remove(before)
            if not same:
                del self._commands[command_id]

    @property
    def keys(self) -> list[Key]:
        """The aggregates that have parked commands, sorted."""
        return sorted(self._queues)

    @property
    def parked(self) -> int:
        """The number of parked letters."""
        return sum(map(len, self._queues.values()))

    @property
    def others(self) -> list[Entry]:
        """The newest letters that are not parked, the newest first."""
        return self._others[::-1]

    def __contains__(self, key: Key) -> bool:
        return key in self._queues

    def letters(self, key: Key) -> list[Entry]:
        """Return an aggregate's letters, in the order they will be handled."""
        return sorted(self._queues.get(key, {}).values(), key=lambda each: each.letter.offset)  # all of one partition

    def of_command(self, command_id: str) -> DeadLetter | None:
        """Return the first letter that a command with this id is parked in, without its value."""
        return next((entry.letter for entry in self._commands.get(command_id, ())), None)

    def summary(self, key: Key) -> dict[str, Any]:
        """Return how many commands of an aggregate are parked, and why the first one is."""
        queue = self._queues[key].values()
        first = min(queue, key=lambda each: each.letter.offset).letter
        return {
            "aggregate": key[0],
            "aggregateId": key[1],
            "topic": first.topic,
            "letters": len(queue),
            "since": min(each.letter.time for each in queue),
            "commandId": first.command_id,
            "commandType": first.command_type,
            "code": first.code,
            "message": first.message,
            "attempts": first.attempts,
        }


def described(letter: DeadLetter) -> dict[str, Any]:
    """Return a whole letter as JSON."""
    return {**letter.data, "time": letter.time, "attempts": letter.attempts}


def listed(entry: Entry) -> dict[str, Any]:
    """Return a letter as lists show it: of a large value only the beginning, as `valuePreview`."""
    data, kept = described(entry.letter), entry.letter.value
    del data["headers"]
    if entry.value_bytes is not None and entry.value_bytes > len(kept or b""):
        data = previewed(data, kept or b"")
    return {"id": entry.id, **data, "valueBytes": entry.value_bytes}


def previewed(data: Mapping[str, Any], value: bytes) -> dict[str, Any]:
    """Return a letter's JSON with the beginning of its value, instead of the value."""
    rest = {name: said for name, said in data.items() if name not in ("value", "valueBase64")}
    return {**rest, "valuePreview": value[:PREVIEW_BYTES].decode(errors="replace")}


def _entry(letter: DeadLetter, partition: int, offset: int, recorded_ms: int) -> Entry:
    value = letter.value
    brief = replace(
        letter,
        kind=intern(letter.kind),  # type: ignore[arg-type]
        topic=intern(letter.topic),
        code=intern(letter.code),
        command_type=None if letter.command_type is None else intern(letter.command_type),
        key=None if letter.key is None else letter.key[:KEY_BYTES],
        value=None if letter.kind == "parked" or value is None else value[:PREVIEW_BYTES],
        headers=(),
        message=intern(letter.message[:WORDS]),  # all letters after the first one have the same message
        reason=None if letter.reason is None else letter.reason[:WORDS],
        traceback=None,
    )
    return Entry(partition, offset, _moment(letter.time, recorded_ms), brief, None if value is None else len(value))


def _moment(time: str, recorded_ms: int) -> int:
    """Return when a letter's message arrived, as far as that is plausible by the time of the letter's record."""
    try:
        came = int(datetime.fromisoformat(time).timestamp() * 1000)
    except ValueError:
        return recorded_ms
    return min(max(came, recorded_ms - BACKLOG_MS), recorded_ms)


# --- reading it

PATIENCE_SECONDS = 20.0  # the first read covers 30 days
RETRY_MS = 10  # until a new consumer asks again which broker leads a partition
FETCH_BYTES = 4 << 20  # limit of a fetch of all partitions; a larger batch arrives alone
AT_ONCE = 100  # records taken at a time: each may have megabytes
NEAR = 200  # a letter at most this many records ahead is reached by reading, a later one by seeking

T = TypeVar("T")
Place = tuple[int, int]  # partition and offset of a record of `dead-letters`


class LetterReader:
    """Reads `dead-letters` on request, and keeps the book; it costs nothing before the first request."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._book = Letterbook()
        self._topic = settings.named(DEAD_LETTERS.name)
        self._positions = {TopicPartition(self._topic, number): 0 for number in range(settings.partitions)}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def book(self, age: float = 0.0) -> Letterbook:
        """Return the letterbook, at most `age` seconds old; raise `GatewayUnavailable` if Kafka is unreachable."""
        asked_at = time.monotonic() - age
        async with self._reading:
            if self._read_at < asked_at:
                began = time.monotonic()
                async with self._consumer() as consumer:
                    await self._read(consumer)
                self._read_at = began
        return self._book

    async def whole(self, places: Sequence[Place], say: Callable[[DeadLetter], T]) -> list[T | None]:
        """Return `say` of the letter at each of `places`, or None; only one letter is in memory at a time."""
        async with self._consumer() as consumer:
            tps = [TopicPartition(self._topic, partition) for partition, _ in places]
            known = [tp for tp in dict.fromkeys(tps) if tp in self._positions]
            begins, ends = await consumer.beginning_offsets(known), await consumer.end_offsets(known)
            said: list[T | None] = []
            for tp, (_, offset) in zip(tps, places, strict=True):
                there = tp in ends and begins[tp] <= offset < ends[tp]
                letter = await self._at(consumer, tp, offset) if there else None
                said.append(None if letter is None else say(letter))
            return said

    async def _at(self, consumer: Any, tp: TopicPartition, offset: int) -> DeadLetter | None:
        """Return the letter at an offset of the topic; None if the record is not a letter, or was never committed."""
        if consumer.assignment() != {tp}:  # one at a time, because records of all assigned partitions are fetched ahead
            consumer.assign([tp])
            consumer.seek(tp, offset)
        elif not 0 <= offset - await consumer.position(tp) < NEAR:
            consumer.seek(tp, offset)
        while await consumer.position(tp) <= offset:
            for record in (await consumer.getmany(tp, timeout_ms=100, max_records=1)).get(tp, ()):
                if record.offset == offset:
                    return _letter(record.value)
        return None

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[Any]:
        consumer = AIOKafkaConsumer(
            **aiokafka_config(self._settings),
            client_id=self._settings.named("letters"),
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            fetch_max_bytes=FETCH_BYTES,
            retry_backoff_ms=RETRY_MS,
        )
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await consumer.start()
                yield consumer
        except (KafkaError, OSError, TimeoutError) as error:
            raise GatewayUnavailable(f"the dead letters cannot be read: {error!r}") from error
        finally:
            with suppress(Exception):
                await asyncio.wait_for(consumer.stop(), 2)

    async def _read(self, consumer: Any) -> None:
        ends = await consumer.end_offsets(list(self._positions))
        left = {partition for partition, end in ends.items() if end > self._positions[partition]}
        consumer.assign(left)
        for partition in left:
            consumer.seek(partition, self._positions[partition])
        while left:
            for partition, records in (await consumer.getmany(*left, timeout_ms=100, max_records=AT_ONCE)).items():
                for record in records:
                    if (letter := _letter(record.value)) is not None:
                        self._book.add(letter, record.partition, record.offset, record.timestamp)
                self._positions[partition] = records[-1].offset + 1
            for partition in left:
                self._positions[partition] = await consumer.position(partition)
            left = {partition for partition in left if self._positions[partition] < ends[partition]}


def _letter(value: bytes | None) -> DeadLetter | None:
    if (letter := letter_in(value)) is None:
        log.warning("skipped a record that is not a dead letter: %.200r", value)
    return letter
