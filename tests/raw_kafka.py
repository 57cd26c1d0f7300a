"""Kafka as clients in other languages use it: arbitrary header names, every compression, and damage on its disk."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from faust.types import TP

from streams.kafka.brokers import Again, Brokers
from streams.kafka.library_patches import HeaderName, RawBatchBuilder
from streams.kafka.wire import NO_TAGS, Code, Produce
from streams.runtime.settings import Settings

MUNICH = b"M\xfcnchen"  # a header name sent by a client that takes Latin-1 for UTF-8
HEADER = 21  # bytes at the beginning of a batch that the broker changes
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)

Raw = tuple[bytes | None, bytes | None, Sequence[tuple[bytes, bytes | None]]]  # key, value, headers


def raw_batch(records: Iterable[Raw], codec: int = NONE, timestamp: int | None = None) -> bytes:
    """Return a record batch with the current time or a timestamp (milliseconds); header names are bytes."""
    builder = RawBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    for number, (key, value, headers) in enumerate(records):
        named = [(HeaderName(name.decode("utf-8", "surrogateescape")), text) for name, text in headers]
        builder.append(number, timestamp, key, value, named)
    return bytes(builder.build())


def send_raw(settings: Settings, topic: str, partition: int, batch: bytes) -> int:
    """Append a batch unchanged; return the offset of its first record."""
    return asyncio.run(append(settings, topic, partition, batch))


async def append(settings: Settings, topic: str, partition: int, batch: bytes) -> int:
    """Append a batch unchanged; return the offset of its first record."""
    brokers = Brokers(settings)

    async def attempt() -> int:
        await brokers.connect()
        await brokers.partitions(topic)
        (node,) = await brokers.by_leader({TP(topic, partition): bytearray(batch)})
        request = Produce(None, -1, 20_000, [(topic, [(partition, batch, NO_TAGS)], NO_TAGS)], NO_TAGS)
        ((_, ((_, code, offset, *_),), _),) = (await brokers.ask_node(node, request)).topics
        if code == Code.NOT_LEADER_OR_FOLLOWER:
            await brokers.refresh()
            raise Again
        assert code == Code.NONE, Code(code)
        return int(offset)

    try:
        async with asyncio.timeout(180):
            return await brokers.until_clear(attempt)
    finally:
        await brokers.close()


def damage(data: Path, topic: str, partition: int, part: bytes, within: int = -1) -> None:
    """Change the byte `within` of a part of a running broker's log, like a failing disk."""
    (log,) = [log for log in data.rglob(f"{topic}-{partition}/*.log") if part in log.read_bytes()]
    whole = log.read_bytes()
    position = whole.index(part) + within % len(part)
    with log.open("r+b") as file:
        file.seek(position)
        file.write(bytes([whole[position] ^ 0xFF]))
