"""`GET /messages/{topic}/{messageId}`: a message as it is on Kafka, found by its key and approximate time."""

import asyncio
import time
from datetime import datetime
from typing import Any

from aiohttp import web
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from parking.letter import DeadLetter
from streams.kafka.clients import aiokafka_config
from streams.kafka.gateway import GatewayUnavailable
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.kafka.partitions import partition_of
from streams.messages.cloudevents import glimpse
from streams.runtime.settings import Settings
from streams.topics import TOPICS
from web.answers import Answer, answer
from web.errors import Problem, invalid
from web.requests import identifier, time_in
from web.services import SERVICES

EARLIER_SECONDS = 2.0  # allowed difference of clocks
MOST_RECORDS, PATIENCE_SECONDS = 20_000, 10.0
READABLE = {topic.name for topic in TOPICS if topic.cleanup == "delete"}
AT_ONCE = asyncio.Semaphore(4)


async def show_message(request: web.Request) -> Answer:
    """Answer with the position and the content of a message; a 404 if it is not near the given time."""
    settings, topic = request.app[SERVICES].settings, request.match_info["topic"]
    if topic not in READABLE:
        raise invalid({"topic": f"must be one of {', '.join(sorted(READABLE))}"})
    wanted = identifier(request.match_info["messageId"], "messageId")
    key = identifier(request.query.get("key", ""), "key")
    since = time_in(request.query, "time")
    try:
        async with AT_ONCE, asyncio.timeout(PATIENCE_SECONDS):
            found = await _find(settings, topic, key, wanted, since)
    except (KafkaError, OSError, TimeoutError) as error:
        raise GatewayUnavailable(f"{topic} cannot be read: {error!r}") from error
    if found is None:
        sentence = f"{wanted} is not among the {MOST_RECORDS} messages of {topic} from {since or 'the beginning'} on"
        raise Problem("MESSAGE_NOT_FOUND", sentence)
    return answer(found)


async def _find(settings: Settings, topic: str, key: str, wanted: str, since: str | None) -> dict[str, Any] | None:
    consumer = AIOKafkaConsumer(
        **aiokafka_config(settings),
        client_id=settings.named("api-messages"),
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
    )
    at = TopicPartition(settings.named(topic), partition_of(key.encode(), settings.partitions))
    try:
        await consumer.start()
        consumer.assign([at])
        end = (await consumer.end_offsets([at]))[at]
        consumer.seek(at, await _first(consumer, at, since))
        return await _scan(consumer, at, end, wanted)
    finally:
        await consumer.stop()


async def _first(consumer: AIOKafkaConsumer, at: TopicPartition, since: str | None) -> int:
    """Return the offset to start at: at the time, or among the newest messages if the time is in the future."""
    if since is None:
        return int((await consumer.beginning_offsets([at]))[at])
    moment = max(datetime.fromisoformat(since).timestamp() - EARLIER_SECONDS, 0.0)
    found = (await consumer.offsets_for_times({at: int(min(moment, time.time()) * 1000)}))[at]
    return int(found.offset) if found else max(int((await consumer.end_offsets([at]))[at]) - MOST_RECORDS, 0)


async def _scan(consumer: AIOKafkaConsumer, at: TopicPartition, end: int, wanted: str) -> dict[str, Any] | None:
    mark, seen = wanted.encode(), 0
    while seen < MOST_RECORDS and await consumer.position(at) < end:
        for record in (await consumer.getmany(at, timeout_ms=200, max_records=1_000)).get(at, ()):
            seen += 1
            if _may_be(record, mark) and glimpse(record.value, record.headers).get("id") == wanted:
                return _shown(record)
    return None


def _may_be(record: Any, mark: bytes) -> bool:
    """Return whether a message contains the id at all; most do not, and need not be parsed."""
    return mark in (record.value or b"") or any(mark == value for _, value in record.headers)


def _shown(record: Any) -> dict[str, Any]:
    """Return a record as JSON, with the same fields as dead letters."""
    letter = DeadLetter("invalid", record.topic, record.partition, record.offset, record.key, record.value,
                        tuple(record.headers), "", "", "")  # fmt: skip
    shown = {name: value for name, value in letter.data.items() if name not in ("kind", "code", "message")}
    return {**shown, "timestamp": record.timestamp}
