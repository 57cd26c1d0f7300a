"""What a projector does: loading many documents at once, and writes of many that may be repeated.

They are MongoDB's own commands. PyMongo's `bulk_write` makes several objects of every write, and knows no constants of
an update (`c`, since MongoDB 5.0), without which each document needs a pipeline of its own.

WriteFailed                 how many writes failed, and why the first did; a `PyMongoError`
Unwritable                  a document that can never be written: it is too large, or has what MongoDB has no place for
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from bson.errors import BSONError
from pymongo.errors import AutoReconnect, DocumentTooLarge, OperationFailure, PyMongoError

from projections.document import Document
from projections.mongo.client import Collection
from streams.messages.envelope import event_id

DUPLICATE_KEY = 11000
TOO_LARGE = (10334, 17419, 17420)  # BSONObjectTooLarge; of an update's result
MOST = 10_000  # documents a command, some 10 MB: PyMongo sends no more than 16 in one
WRITES = {"insert": "documents", "update": "updates"}  # commands, and what holds their writes

# The guard is in the update: MongoDB finds documents by nothing but `_id` without planning a query, which would take
# half of a write's time. A missing document has no `sequence`, and nothing is less than any number.
NEWER = {"$lt": ["$sequence", "$$new.sequence"]}
GUARDED = [{"$replaceWith": {"$cond": [NEWER, "$$new", "$$ROOT"]}}]


class WriteFailed(PyMongoError):
    """Writes failed; why, without the documents: people's addresses are none of a log's."""

    def __init__(self, collection: str, errors: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(f"{collection}: {len(errors)} writes failed, the first with {errors[0]['errmsg']}")


class Unwritable(Exception):
    """A document that can never be written, however often it is tried."""


class Put(NamedTuple):
    """A document to write; `fresh`: as far as we know it is new, and an insert costs a quarter of an upsert."""

    document: Document
    fresh: bool


class Written(NamedTuple):
    """How many documents changed, and the indexes of those whose `_id` was there already."""

    changed: int
    there: list[int]


async def load(collection: Collection, ids: Sequence[str]) -> list[Document]:
    """Return those documents of `ids` that exist, in one round trip."""
    return await collection.find({"_id": {"$in": ids}}, batch_size=len(ids) + 1).to_list(None)


async def put(collection: Collection, puts: Sequence[Put]) -> bool:
    """Write documents over older ones and leave newer ones; return whether there was no newer one."""
    fresh = [one.document for one in puts if one.fresh]
    count, there = await _write(collection, "insert", fresh)
    older = [one.document for one in puts if not one.fresh] + [fresh[index] for index in there]
    return count + await upsert(collection, [_guarded(document) for document in older]) == len(puts)


async def upsert(collection: Collection, updates: Sequence[Document]) -> int:
    """Make updates as MongoDB has them (`q`, `u`, `upsert`), and return how many documents changed."""
    count = 0
    while updates:
        changed, there = await _write(collection, "update", updates)
        count += changed
        updates = [updates[index] for index in there]  # somebody else was first: now there is something to update
    return count


async def insert(
    collection: Collection,
    documents: Sequence[Document],
    provisional: Mapping[str, Any] | None = None,
    *,
    namesakes: bool = False,
) -> None:
    """Insert documents that never change; existing ones stay as they are, unless they are `provisional`.

    `namesakes`: the documents are log entries of a shape whose `_id` several events may have; each gets its entry.
    """
    _, there = await _write(collection, "insert", documents)
    later = [documents[index] for index in there]
    if namesakes:
        await _insert_namesakes(collection, later)
    elif later and provisional is not None:
        updates = [{"q": {"_id": each["_id"], **provisional}, "u": each} for each in later]
        await _write(collection, "update", updates, ordered=True)


async def _insert_namesakes(collection: Collection, documents: Sequence[Document]) -> None:
    """Insert those of `documents` whose `_id` is that of another event, as ids of older code could be."""
    if not (suspects := [each for each in documents if may_share_its_id(each)]):
        return
    known = {each["_id"]: each for each in await load(collection, [each["_id"] for each in suspects])}
    others = [each for each in suspects if is_namesake(each, known.get(each["_id"]))]
    await _write(collection, "insert", [{**each, "_id": namesake_id(each)} for each in others])


def may_share_its_id(entry: Document) -> bool:
    """Return whether a log entry is of an event of older code, whose id another event may have."""
    product = entry.get("productId")
    ours = event_id("inventory", product, entry["sequence"]) if product else event_id("order", *_of(entry))
    return bool(entry["_id"] != ours)


def is_namesake(entry: Document, found: Document | None) -> bool:
    """Return whether the log entry that was `found` under the id of `entry` is of another event."""
    return found is not None and may_share_its_id(entry) and _of(entry) != _of(found)


def namesake_id(entry: Document) -> str:
    """Return the `_id` of a log entry of which another event has the id."""
    return "/".join(map(str, (entry["_id"], *_of(entry))))


def _of(entry: Document) -> tuple[str, int]:
    """Return the aggregate and the sequence of a log entry's event."""
    return entry.get("productId") or entry["orderId"], entry["sequence"]


def _guarded(document: Document) -> Document:
    """Return the upsert that leaves a document with the same or a higher `sequence` as it is."""
    return {"q": {"_id": document["_id"]}, "u": GUARDED, "c": {"new": document}, "upsert": True}


async def _write(
    collection: Collection, name: Literal["insert", "update"], writes: Sequence[Document], *, ordered: bool = False
) -> Written:
    """Write what can be, in as few commands as it takes."""
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
    """Return what MongoDB's answer to a command says was written.

    Raises what it means where not all was: see above; `AutoReconnect` when it may yet be taken back, as in an election.
    """
    errors = answer.get("writeErrors", [])
    if any(one["code"] in TOO_LARGE for one in errors):
        raise Unwritable(f"a document of {collection} is too large for MongoDB")
    if failed := [one for one in errors if one["code"] != DUPLICATE_KEY]:
        raise WriteFailed(collection, failed)
    if concern := answer.get("writeConcernError"):
        raise AutoReconnect(f"{collection}: written, but not as safe as was asked for: {concern['errmsg']}")
    changed = answer["n"] if name == "insert" else answer["nModified"] + len(answer.get("upserted", ()))
    return Written(changed, [one["index"] for one in errors])
