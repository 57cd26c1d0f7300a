"""A projection from offset zero into collections of its own, in this process.

    python -m bench.fresh orders|inventory MOST

prints {"events", "seconds", "cpu", "documents"}. `MOST`: events to read at most. Its database is dropped afterwards.
"""

import json
import sys
import time

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from projections.mongo.client import Mongo
from projections.mongo.indexes import create_indexes
from projections.runner import Runner
from projections.table import PROJECTIONS
from streams.settings import Settings

FETCH_BYTES = 1 << 20


async def rebuild(settings: Settings, name: str, most: int) -> dict[str, float]:
    """Build one projection anew and return what it took."""
    (projection,) = [one for one in PROJECTIONS if one.name == name]
    mongo = Mongo(settings)
    await create_indexes(mongo, [projection])
    runner, topic = Runner(mongo, settings, [projection]), settings.named(projection.topic.name)
    began, used, events = time.perf_counter(), time.process_time(), 0
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, enable_auto_commit=False, isolation_level="read_committed",
        max_partition_fetch_bytes=FETCH_BYTES, fetch_max_wait_ms=100,
    ) as reader:  # fmt: skip
        partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
        reader.assign(partitions)
        await reader.seek_to_beginning(*partitions)
        ends = await reader.end_offsets(partitions)
        while events < most and any([await reader.position(one) < end for one, end in ends.items()]):
            fetched = await reader.getmany(timeout_ms=200)
            await runner.apply({(tp.topic, tp.partition): records for tp, records in fetched.items()})
            events += sum(map(len, fetched.values()))
    taken = {"events": events, "seconds": time.perf_counter() - began, "cpu": time.process_time() - used}
    documents = await mongo.collection(projection.collection(name)).count_documents({})
    await mongo.client.drop_database(mongo.database.name)
    return taken | {"documents": documents}


async def main() -> None:
    """Do what the arguments say, in a database that is nobody's."""
    name, most = sys.argv[1], int(sys.argv[2])
    settings = Settings().model_copy(update={"database": "fresh"})
    print(json.dumps(await rebuild(settings, name, most)))


if __name__ == "__main__":
    uvloop.run(main())
