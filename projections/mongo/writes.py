"""What a projector does: loading many documents at once, and bulk writes that may be repeated.

WriteFailed                 how many writes failed, and why the first did; a `PyMongoError`
Unwritable                  a document that can never be written: it is too large, or has what MongoDB has no place for
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bson.errors import BSONError
from pymongo import InsertOne, ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from projections.document import Document
from projections.mongo.client import Collection

DUPLICATE_KEY = 11000
TOO_LARGE = (10334, 17419, 17420)  # BSONObjectTooLarge; of an update's result


class WriteFailed(PyMongoError):
    """A bulk write failed. PyMongo's own error prints every document, and people's addresses are none of a log's."""

    def __init__(self, collection: str, details: Mapping[str, Any]) -> None:
        failed = details["writeErrors"] or details["writeConcernErrors"]
        super().__init__(f"{collection}: {len(failed)} writes failed, the first with {failed[0]['errmsg']}")


class Unwritable(Exception):
    """A document that can never be written, however often it is tried."""


class Put(NamedTuple):
    """A document to write; `fresh`: as far as we know it is new, and an insert costs a quarter of an upsert."""

    document: Document
    fresh: bool


async def load(collection: Collection, ids: Sequence[str]) -> list[Document]:
    """Return those documents of `ids` that exist, in one round trip."""
    return await collection.find({"_id": {"$in": ids}}, batch_size=len(ids) + 1).to_list(None)


async def put(collection: Collection, puts: Sequence[Put]) -> bool:
    """Write documents over older ones and leave newer ones; return whether there was no newer one."""
    puts = sorted(puts, key=lambda one: not one.fresh)  # one command each: inserts, then updates
    count, total = 0, len(puts)
    while puts:
        operations = [_insert(one.document) if one.fresh else _guarded(one.document) for one in puts]
        written, there = await _bulk(collection, operations)
        count += written
        puts = [Put(puts[index].document, fresh=False) for index in there]
    return count == total


async def insert(
    collection: Collection, documents: Sequence[Document], provisional: Mapping[str, Any] | None = None
) -> None:
    """Insert documents that never change; those that are there stay as they are, unless they are `provisional`."""
    _, there = await _bulk(collection, [_insert(document) for document in documents])
    if there and provisional is not None:
        later = [documents[index] for index in there]
        await _bulk(collection, [ReplaceOne({"_id": each["_id"], **provisional}, each) for each in later], ordered=True)


def _insert(document: Document) -> InsertOne[Document]:
    return InsertOne(document)


def _guarded(document: Document) -> UpdateOne:
    """Return the upsert that leaves a document with the same or a higher `sequence` as it is.

    The guard is in the update: MongoDB finds documents by nothing but `_id` without planning a query, which would take
    half of a write's time. A missing document has no `sequence`, and nothing is less than any number.
    """
    newer = {"$lt": ["$sequence", document["sequence"]]}
    return UpdateOne(
        {"_id": document["_id"]},
        [{"$replaceWith": {"$cond": [newer, {"$literal": document}, "$$ROOT"]}}],
        upsert=True,
    )


async def _bulk(collection: Collection, operations: Sequence[Any], *, ordered: bool = False) -> tuple[int, list[int]]:
    """Write what can be; return how many documents changed, and the indexes of those whose `_id` was there already."""
    try:
        result = await collection.bulk_write(operations, ordered=ordered)
    except (BSONError, OverflowError) as error:
        raise Unwritable(f"a document of {collection.name} cannot be written: {error}") from None
    except BulkWriteError as error:
        details = dict(error.details)
        if any(one["code"] in TOO_LARGE for one in details["writeErrors"]):
            raise Unwritable(f"a document of {collection.name} is too large for MongoDB") from None
        if details["writeConcernErrors"] or any(one["code"] != DUPLICATE_KEY for one in details["writeErrors"]):
            raise WriteFailed(collection.name, details) from None
        changed = details["nInserted"] + details["nModified"] + details["nUpserted"]
        return changed, [one["index"] for one in details["writeErrors"]]
    except OperationFailure as error:
        if error.code in TOO_LARGE:
            raise Unwritable(f"a document of {collection.name} is too large for MongoDB") from None
        raise
    return result.inserted_count + result.modified_count + result.upserted_count, []
