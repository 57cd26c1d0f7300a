"""What pieces of our own cost beside what they take the place of: CPU, the least of some rounds.

python -m bench.pieces [--rounds N]
"""

import argparse
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvloop
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.memory_records import MemoryRecords
from faust.types import TP
from pymongo import InsertOne, UpdateOne

from bench.memory import Log, placed
from bench.stacks import Stacks
from projections.document import Document
from projections.mongo.client import Collection, Mongo
from projections.mongo.writes import Put, put
from streams.batches import Producer, Write, requests
from streams.records import Records
from streams.settings import Settings

COUNT = 500  # records of a batch, documents of a write


def main() -> None:
    """Print µs by piece."""
    parser = argparse.ArgumentParser(prog="bench.pieces", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    for name, kind in (("aiokafka's records", PartitionRecords), ("our records", Records)):
        show(name, [read(kind) for _ in range(rounds)])
    with Stacks() as stacks:
        uvloop.run(write(stacks.servers.settings, rounds))


def show(name: str, seconds: Sequence[float]) -> None:
    """Print the least of what a piece took, for one of its `COUNT`."""
    print(f"{name:36} {1e6 * min(seconds) / COUNT:6.2f} µs")


# --- records out of a batch


def read(kind: type[PartitionRecords]) -> float:
    """Return the CPU seconds of reading a batch of commands."""
    log, topic = Log(Settings()), "commands"
    log.write(Write(topic, 0, key, value, headers) for _, _, key, value, headers in placed(topic, COUNT))
    (fetch,) = log.fetches([topic], 8 * COUNT)
    ((_, part),) = fetch.parts.items()
    writes = [Write(topic, 0, each.key, each.value, list(each.headers)) for each in part.records]
    (request,) = requests(writes, {topic: 1}, Producer(1, 0))
    batch = bytes(request[TP(topic, 0)])
    began = time.process_time()
    records = list(kind(TopicPartition(topic, 0), MemoryRecords(batch), [], 0, None, None, True, READ_COMMITTED))
    seconds = time.process_time() - began
    assert len(records) == COUNT
    return seconds


# --- documents into MongoDB


async def write(settings: Settings, rounds: int) -> None:
    """Print what writing documents costs the client, by PyMongo's `bulk_write` and by our commands."""
    mongo = Mongo(settings)
    ways: dict[str, Callable[[Collection, list[Document]], Awaitable[Any]]] = {
        "insert, bulk_write": lambda to, documents: to.bulk_write([InsertOne(each) for each in documents]),
        "insert, command": lambda to, documents: put(to, [Put(each, fresh=True) for each in documents]),
        "guarded update, bulk_write": lambda to, documents: to.bulk_write([guarded(each) for each in documents]),
        "guarded update, command": lambda to, documents: put(to, [Put(each, fresh=False) for each in documents]),
    }
    for name, way in ways.items():
        taken = []
        for number in range(rounds):
            documents = [document(f"{name} {number} {each}") for each in range(COUNT)]
            began = time.process_time()
            await way(mongo.collection("pieces"), documents)
            taken.append(time.process_time() - began)
        show(name, taken)
    await mongo.close()


def document(name: str) -> Document:
    """Return a document like an order's."""
    line = {"productId": "boot", "price": {"currency": "EUR", "value": "12.50"}, "pending": 1, "allocated": 2}
    return {
        "_id": name,
        "sequence": 1,
        "customerId": "alice",
        "items": [{"lineId": "1"} | line, {"lineId": "2"} | line],
    }


def guarded(document: Document) -> UpdateOne:
    """Return the update that leaves a newer document as it is, as PyMongo can say it."""
    newer = {"$lt": ["$sequence", document["sequence"]]}
    replace = [{"$replaceWith": {"$cond": [newer, {"$literal": document}, "$$ROOT"]}}]
    return UpdateOne({"_id": document["_id"]}, replace, upsert=True)


if __name__ == "__main__":
    main()
