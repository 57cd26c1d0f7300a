"""The raw limit: the same decisions in a bare aiokafka loop, a transaction every 100 ms, no restore, no fencing.

    python -m bench.bare

It keeps its states in a dict, writes the same events, states and outcomes, and knows nothing of rebalances.
"""

import time
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faust.types import TP

from agents.deciding import Deciding
from agents.orders import OrderKind
from streams.app import create_app
from streams.settings import Settings
from streams.topics import ORDER_COMMANDS
from streams.transactions import Write
from streams.transport import Fetch, Member, Part
from tables.orders import CODEC, orders_table
from tables.store import Entries

TRANSACTION_SECONDS = 0.1


async def run(settings: Settings) -> None:
    """Decide order commands from the group's offsets on, until it is ended."""
    topic = settings.named(ORDER_COMMANDS.name)
    table = orders_table(create_app("orders", settings))
    table.data.replace({partition: Entries(CODEC, {}) for partition in range(settings.partitions)})
    deciding = Deciding(settings, OrderKind(), table, {topic: "bare"})
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=settings.kafka, group_id="bare", enable_auto_commit=False,
        auto_offset_reset="earliest", isolation_level="read_committed", max_partition_fetch_bytes=settings.fetch_bytes,
    )  # fmt: skip
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka, transactional_id="bare", max_batch_size=1 << 20, linger_ms=5
    )
    async with consumer, producer:
        while True:
            await _transaction(consumer, producer, deciding)


async def _transaction(consumer: Any, producer: Any, deciding: Deciding) -> None:
    async with producer.transaction():
        end, offsets = time.monotonic() + TRANSACTION_SECONDS, {}
        while (left := end - time.monotonic()) > 0:
            for tp, records in (await consumer.getmany(timeout_ms=int(left * 1000) + 1)).items():
                part = Part(records[0].offset, records)
                decided = deciding.decide(Fetch(0, Member(0, ""), {TP(tp.topic, tp.partition): part}))
                await _send(producer, decided.writes)
                decided.merge()
                offsets[tp] = part.ended
        if offsets:
            await producer.send_offsets_to_transaction(offsets, "bare")


async def _send(producer: Any, writes: Iterable[Write]) -> None:
    for topic, partition, key, value, headers in writes:
        at = partition if partition >= 0 else None
        await producer.send(topic, value=value, key=key, partition=at, headers=headers)


if __name__ == "__main__":
    import uvloop

    uvloop.run(run(Settings()))
