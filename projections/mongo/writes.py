"""What a projector does: loading many documents at once, and bulk writes that may be repeated.

A write is guarded by `sequence`, or inserts once.

E11000 from either means that the database has this already: from an insert, that the `_id` is there; from a guarded
upsert, that the document there is as new or newer, so that the filter missed it and the upsert met its `_id`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pymongo import InsertOne, ReplaceOne
from pymongo.errors import BulkWriteError

from projections.document import Document
from projections.mongo.client import Collection

DUPLICATE_KEY = 11000


class Put(NamedTuple):
    """A document to write; `fresh`: as far as we know it is new, and an insert costs a quarter of an upsert."""

    document: Document
    fresh: bool


async def load(collection: Collection, ids: Sequence[str]) -> list[Document]:
    """Return those documents of `ids` that exist, in one round trip."""
    return await collection.find({"_id": {"$in": ids}}, batch_size=len(ids) + 1).to_list(None)


async def put(collection: Collection, puts: Sequence[Put]) -> set[str]:
    """Write documents unless newer ones are there, and return the ids of those that were newer."""
    ordered = sorted(puts, key=lambda one: not one.fresh)  # one command each: inserts, then upserts
    refused = await _bulk(
        collection, [_insert(one.document) if one.fresh else _guarded(one.document) for one in ordered]
    )
    there = [one.document for index, one in enumerate(ordered) if index in refused and one.fresh]
    newer = {one.document["_id"] for index, one in enumerate(ordered) if index in refused and not one.fresh}
    if there:
        refused = await _bulk(collection, [_guarded(document) for document in there])
        newer |= {document["_id"] for index, document in enumerate(there) if index in refused}
    return newer


async def insert(collection: Collection, documents: Sequence[Document]) -> None:
    """Insert documents that never change; those that are there stay as they are."""
    await _bulk(collection, [_insert(document) for document in documents])


def _insert(document: Document) -> InsertOne[Document]:
    return InsertOne(document)


def _guarded(document: Document) -> ReplaceOne[Document]:
    older = {"_id": document["_id"], "sequence": {"$lt": document["sequence"]}}
    return ReplaceOne(older, document, upsert=True)


async def _bulk(collection: Collection, operations: Sequence[Any]) -> set[int]:
    """Write everything that can be, and return the indexes of what was there already; any other error is raised."""
    if not operations:
        return set()
    try:
        await collection.bulk_write(operations, ordered=False)
    except BulkWriteError as error:
        failed = error.details["writeErrors"]
        if error.details["writeConcernErrors"] or any(one["code"] != DUPLICATE_KEY for one in failed):
            raise
        return {one["index"] for one in failed}
    return set()
