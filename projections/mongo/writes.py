"""The projector's access to MongoDB: loading many documents at once, and bulk writes that may be repeated.

They use MongoDB's own commands. PyMongo's `bulk_write` creates several objects per write and does not support constants
of an update (`c`, since MongoDB 5.0), without which each document needs a pipeline of its own.

WriteFailed                 how many writes failed, and why the first did; a `PyMongoError`
Unwritable                  a document that can never be written: it is too large, or has what MongoDB has no place for
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from bson.errors import BSONError
from pymongo.errors import AutoReconnect, DocumentTooLarge, OperationFailure, PyMongoError

from projections.document import Document
from projections.mongo.client import Collection
from streams.messages.envelope import event_id

DUPLICATE_KEY = 11000
TOO_LARGE = (10334, 17419, 17420)  # the code of BSONObjectTooLarge, in an update's result
AT_ONCE = 50  # queries
MOST = 10_000  # documents per command, some 10 MB: PyMongo does not split a command
WRITES = {
    "insert": "documents",
    "update": "updates",
    "delete": "deletes",
}  # concurrent commands, and the memory their writes take

# The guard is in the update, because MongoDB finds documents by `_id` alone without planning a query, which would take
# half of a write's time. A missing document has no `sequence`, and a missing value is never less than a number.
NEWER = {"$lt": ["$sequence", "$$new.sequence"]}
GUARDED = [{"$replaceWith": {"$cond": [NEWER, "$$new", "$$ROOT"]}}]


class WriteFailed(PyMongoError):
    """Writes failed; the message leaves out the documents, because addresses do not belong in a log."""

    def __init__(self, collection: str, errors: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(f"{collection}: {len(errors)} writes failed, the first one with {errors[0]['errmsg']}")


class Unwritable(Exception):
    """A document that can never be written, however often it is retried."""


class Put(NamedTuple):
    """A document to write; `fresh`: it is probably new, and an insert costs a quarter of an upsert."""

    document: Document
    fresh: bool


class Written(NamedTuple):
    """The number of changed documents, and the indexes of those whose `_id` already existed."""

    changed: int
    there: list[int]


async def load(collection: Collection, ids: Sequence[str]) -> list[Document]:
    """Return the existing documents of `ids`, in one round trip."""
    return await collection.find({"_id": {"$in": ids}}, batch_size=len(ids) + 1).to_list(None)


async def load_entries(collection: Collection, ids: Sequence[str]) -> list[Document]:
    """Return the existing entries of a log that is clustered by `_id`, one range for each aggregate.

    MongoDB 6 answers `$in` on a clustered collection by reading the whole collection.
    """
    ranges = defaultdict[str, list[str]](list)
    for each in ids:
        ranges[each.rpartition("/")[0]].append(each)
    wanted, found = list(ranges.values()), list[Document]()
    for first in range(0, len(wanted), AT_ONCE):
        some = (_between(collection, min(each), max(each)) for each in wanted[first : first + AT_ONCE])
        found += [entry for entries in await asyncio.gather(*some) for entry in entries]
    every = set(ids)
    return [entry for entry in found if entry["_id"] in every]


async def _between(collection: Collection, first: str, last: str) -> list[Document]:
    return await collection.find({"_id": {"$gte": first, "$lte": last}}).to_list(None)


async def put(collection: Collection, puts: Sequence[Put]) -> bool:
    """Replace older documents and leave newer ones; return whether there were no newer ones."""
    fresh = [one.document for one in puts if one.fresh]
    count, there = await _write(collection, "insert", fresh)
    older = [one.document for one in puts if not one.fresh] + [fresh[index] for index in there]
    return count + await upsert(collection, [_guarded(document) for document in older]) == len(puts)


async def upsert(collection: Collection, updates: Sequence[Document]) -> int:
    """Run updates in MongoDB's form (`q`, `u`, `upsert`), and return how many documents changed."""
    count = 0
    while updates:
        changed, there = await _write(collection, "update", updates)
        count += changed
        updates = [updates[index] for index in there]  # another process inserted it first: now it can be updated
    return count


async def remove(collection: Collection, outdated: Sequence[tuple[str, int]]) -> None:
    """Delete documents by id whose sequence is below a number, because a newer document elsewhere replaces them."""
    deletes = [{"q": {"_id": key, "sequence": {"$lt": version}}, "limit": 1} for key, version in outdated]
    await _write(collection, "delete", deletes)


async def insert(
    collection: Collection,
    documents: Sequence[Document],
    provisional: Mapping[str, Any] | None = None,
    *,
    namesakes: bool = False,
) -> None:
    """Insert documents that never change; existing ones stay as they are, unless they are `provisional`.

    `namesakes`: log entries of a shape in which several events may have the same `_id`; each gets an entry.
    """
    _, there = await _write(collection, "insert", documents)
    later = [documents[index] for index in there]
    if namesakes:
        await _insert_namesakes(collection, later)
    elif later and provisional is not None:
        updates = [{"q": {"_id": each["_id"], **provisional}, "u": each} for each in later]
        await _write(collection, "update", updates, ordered=True)


async def _insert_namesakes(collection: Collection, documents: Sequence[Document]) -> None:
    """Insert the `documents` whose `_id` belongs to another event, which ids of older code allow."""
    if not (suspects := [each for each in documents if may_share_its_id(each)]):
        return
    known = {each["_id"]: each for each in await load(collection, [each["_id"] for each in suspects])}
    others = [each for each in suspects if is_namesake(each, known.get(each["_id"]))]
    await _write(collection, "insert", [{**each, "_id": namesake_id(each)} for each in others])


def may_share_its_id(entry: Document) -> bool:
    """Return whether a log entry was written by older code, whose ids several events may share."""
    product = entry.get("productId")
    ours = event_id("inventory", product, entry["sequence"]) if product else event_id("order", *_of(entry))
    return bool(entry["_id"] != ours)


def is_namesake(entry: Document, found: Document | None) -> bool:
    """Return whether the log entry `found` under the id of `entry` belongs to another event."""
    return found is not None and may_share_its_id(entry) and _of(entry) != _of(found)


def namesake_id(entry: Document) -> str:
    """Return the `_id` of a log entry whose id belongs to another event."""
    return "/".join(map(str, (entry["_id"], *_of(entry))))


def _of(entry: Document) -> tuple[str, int]:
    """Return the aggregate and the sequence of a log entry's event."""
    return entry.get("productId") or entry["orderId"], entry["sequence"]


def _guarded(document: Document) -> Document:
    """Return the upsert that keeps a document with the same or a higher `sequence`."""
    return {"q": {"_id": document["_id"]}, "u": GUARDED, "c": {"new": document}, "upsert": True}


async def _write(
    collection: Collection,
    name: Literal["insert", "update", "delete"],
    writes: Sequence[Document],
    *,
    ordered: bool = False,
) -> Written:
    """Run the writes in as few commands as possible."""
    changed, there, begin, most = 0, list[int](), 0, MOST
    while begin < len(writes):
        some = writes[begin : begin + most]
        try:
            one = await _command(collection, name, some, ordered)
        except DocumentTooLarge:
            if len(some) == 1:
                raise Unwritable(f"a document of {collection.name} is too large for MongoDB") from None
            most = len(some) // 2
            continue
        changed += one.changed
        there += [begin + index for index in one.there]
        begin += len(some)
    return Written(changed, there)


async def _command(collection: Collection, name: str, writes: Sequence[Document], ordered: bool) -> Written:
    command = {name: collection.name, WRITES[name]: writes, "ordered": ordered}
    command["writeConcern"] = collection.write_concern.document
    try:
        answer = await collection.database.command(command, codec_options=collection.codec_options)
    except DocumentTooLarge:
        raise
    except (BSONError, OverflowError) as error:
        raise Unwritable(f"a document of {collection.name} cannot be written: {error}") from None
    except OperationFailure as error:
        if error.code in TOO_LARGE:
            raise Unwritable(f"a document of {collection.name} is too large for MongoDB") from None
        raise
    return judged(collection.name, name, answer)


def judged(collection: str, name: str, answer: Mapping[str, Any]) -> Written:
    """Return how much was written, by MongoDB's answer to a command.

    Raise the errors above if not all was written; `AutoReconnect` if it may still be rolled back, as in an election.
    """
    errors = answer.get("writeErrors", [])
    if any(one["code"] in TOO_LARGE for one in errors):
        raise Unwritable(f"a document of {collection} is too large for MongoDB")
    if failed := [one for one in errors if one["code"] != DUPLICATE_KEY]:
        raise WriteFailed(collection, failed)
    if concern := answer.get("writeConcernError"):
        raise AutoReconnect(f"{collection}: written, but not with the requested durability: {concern['errmsg']}")
    changed = answer["n"] if name != "update" else answer["nModified"] + len(answer.get("upserted", ()))
    return Written(changed, [one["index"] for one in errors])
