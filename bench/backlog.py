"""A backlog of order commands, and how fast it is worked off."""

import asyncio
import time
import uuid
from collections.abc import Callable

import orjson
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from streams.messages import new_id, now
from streams.settings import Settings
from streams.topics import ORDER_COMMANDS, ORDER_EVENTS
from tests.system import ADDRESS, System, eventually

PRICE = {"amount": 1999, "currency": "EUR"}
LINES = [{"productId": f"p-{n}", "quantity": n, "price": PRICE} for n in (1, 2)]
ORDER = {"customerId": "c-1", "lines": LINES, "shippingAddress": ADDRESS, "billingAddress": ADDRESS}


def fill(settings: Settings, count: int) -> None:
    """Send `count` PlaceOrder commands of two lines, as the API would."""
    producer = Producer(
        {"bootstrap.servers": settings.kafka, "partitioner": "murmur2_random", "linger.ms": 50}
        | {"queue.buffering.max.messages": 2_000_000, "compression.type": "lz4"}
    )
    for _ in range(count):
        key, command = str(uuid.uuid4()), new_id()
        envelope = {"specversion": "1.0", "id": command, "type": "PlaceOrder", "source": "web", "subject": key}
        envelope |= {"time": now(), "correlationid": command, "data": ORDER}
        producer.produce(settings.named(ORDER_COMMANDS.name), key=key, value=orjson.dumps(envelope))
        producer.poll(0)
    assert producer.flush(120) == 0


def ends(settings: Settings, topic: str) -> list[int]:
    """Return the last stable offsets of a topic's partitions."""
    reader = Consumer({"bootstrap.servers": settings.kafka, "group.id": "bench", "isolation.level": "read_committed"})
    try:
        return [reader.get_watermark_offsets(TopicPartition(topic, p))[1] for p in range(settings.partitions)]
    finally:
        reader.close()


def commands_a_second(system: System, count: int, start: Callable[[], psutil.Process]) -> tuple[float, float]:
    """Fill the topic, start a worker on it; return commands a second, and a second of its CPU.

    The clock runs from the first event to the last, so that the start of the process does not count; the CPU of the
    start is left out too.
    """
    topic = system.settings.named(ORDER_EVENTS.name)
    fill(system.settings, count)
    before = sum(ends(system.settings, topic))
    worker = start()

    async def work() -> tuple[float, float]:
        events = await eventually(lambda: _handled(system, topic, before), bool, 60)
        began, used = time.perf_counter(), _cpu(worker)
        await eventually(lambda: _handled(system, topic, before), lambda handled: handled >= count, 600)
        rest = count - events
        return rest / (time.perf_counter() - began), rest / (_cpu(worker) - used)

    return asyncio.run(work())


async def _handled(system: System, topic: str, before: int) -> int:
    return sum(await asyncio.to_thread(ends, system.settings, topic)) - before


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
