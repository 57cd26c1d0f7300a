"""The client's CPU time for writing a document, compared with PyMongo's `bulk_write`.

    python -m bench.writes [--rounds N]

The figures are medians of CPU time over rounds in which each method has its turn, the only fair comparison on a shared
machine.
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

COUNT = 500  # documents per write
JSON_BYTES = 1_100  # an order of two lines


def main() -> None:
    """Print µs by method."""
    parser = argparse.ArgumentParser(prog="bench.writes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    garbage.configure()  # as in a worker
    with Stacks() as stacks:
        uvloop.run(write(stacks.servers.settings, rounds))


def show(rounds: Sequence[dict[str, float]]) -> None:
    """Print the median time per document of each method."""
    for name in rounds[0]:
        print(f"{name:36} {1e6 * median(each[name] for each in rounds) / COUNT:6.2f} µs")


async def write(settings: Settings, rounds: int) -> None:
    """Print the client's cost of writing documents, with PyMongo's `bulk_write` and with our commands."""
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
    """Return a document like an order's: the queried fields, and its JSON."""
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
    """Return the update that keeps a newer document, in PyMongo's form."""
    newer = {"$lt": ["$sequence", document["sequence"]]}
    replace = [{"$replaceWith": {"$cond": [newer, {"$literal": document}, "$$ROOT"]}}]
    return UpdateOne({"_id": document["_id"]}, replace, upsert=True)


if __name__ == "__main__":
    main()
