"""What writing a document costs the client, beside PyMongo's `bulk_write`.

    python -m bench.writes [--rounds N]

CPU, the medians of rounds in which each way has its turn: on a shared machine nothing else can be compared.
"""

import argparse
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Any

import uvloop
from pymongo import InsertOne, UpdateOne

from bench.stacks import Stacks
from projections.document import Document
from projections.mongo.client import Collection, Mongo
from projections.mongo.writes import Put, put
from streams.runtime import garbage
from streams.runtime.settings import Settings

COUNT = 500  # documents of a write
JSON_BYTES = 1_100  # of an order of two lines


def main() -> None:
    """Print µs by way."""
    parser = argparse.ArgumentParser(prog="bench.writes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    garbage.configure()  # as in a worker
    with Stacks() as stacks:
        uvloop.run(write(stacks.servers.settings, rounds))


def show(rounds: Sequence[dict[str, float]]) -> None:
    """Print the median of what a document took each way."""
    for name in rounds[0]:
        print(f"{name:36} {1e6 * median(each[name] for each in rounds) / COUNT:6.2f} µs")


async def write(settings: Settings, rounds: int) -> None:
    """Print what writing documents costs the client, by PyMongo's `bulk_write` and by our commands."""
    mongo = Mongo(settings)
    ways: dict[str, Callable[[Collection, list[Document]], Awaitable[Any]]] = {
        "insert, bulk_write": lambda to, documents: to.bulk_write([InsertOne(each) for each in documents]),
        "insert, command": lambda to, documents: put(to, [Put(each, fresh=True) for each in documents]),
        "guarded update, bulk_write": lambda to, documents: to.bulk_write([guarded(each) for each in documents]),
        "guarded update, command": lambda to, documents: put(to, [Put(each, fresh=False) for each in documents]),
    }
    taken: list[dict[str, float]] = [{} for _ in range(rounds)]
    for number, spent in enumerate(taken):
        for name, way in ways.items():
            documents = [document(f"{name} {number} {each}") for each in range(COUNT)]
            began = time.process_time()
            await way(mongo.collection("documents"), documents)
            spent[name] = time.process_time() - began
    show(taken)
    await mongo.close()


def document(name: str) -> Document:
    """Return a document like an order's: the fields that are queried, and its JSON."""
    return {
        "_id": name,
        "sequence": 1,
        "customerId": "alice",
        "status": "REGISTERED",
        "allocationStatus": "ALLOCATED",
        "createdAt": "2026-11-23T10:00:00.000Z",
        "updatedAt": "2026-11-23T10:00:00.000Z",
        "_stockVersions": [1, 1],
        "_json": "x" * JSON_BYTES,
    }


def guarded(document: Document) -> UpdateOne:
    """Return the update that leaves a newer document as it is, as PyMongo can say it."""
    newer = {"$lt": ["$sequence", document["sequence"]]}
    replace = [{"$replaceWith": {"$cond": [newer, {"$literal": document}, "$$ROOT"]}}]
    return UpdateOne({"_id": document["_id"]}, replace, upsert=True)


if __name__ == "__main__":
    main()
