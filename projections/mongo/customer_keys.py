"""The keys of customers, as the topic `customer-keys` has them: one document per key, and how far the topic was read.

    {_id: "<key id>", of: "c-1/3", topicId: "…", offset: 16, wrapped: "…"}    a key, wrapped with a master key
    {_id: "<key id>", erased: true, topicId: "…", offset: 17}                  a key that a record erased
    {_id: "<topic id>/3", nextOffset: 17}                                      the progress in a partition of the topic

Every writer applies the records of a partition in order, from its stored progress. A key is therefore inserted before
it is erased, and a late insert by a process that was paused meanwhile finds the document and changes nothing. A record
erases only keys of earlier records, so that records which are applied again change nothing either.

If the topic was created again, its records erase the keys of the one before, which they do not have. A key that follows
in the new topic is stored again, unless the topic before had erased it.
"""

from collections.abc import Iterable, Mapping, Sequence

from pymongo import ASCENDING, IndexModel, UpdateMany, UpdateOne

from privacy.keys import CustomerKey, KeyRecord
from projections.document import Document
from projections.mongo.client import Mongo

KEYS = "customer_keys"


class StoredKeys:
    """The keys of this installation's customers."""

    def __init__(self, mongo: Mongo) -> None:
        self._keys, self._durable = mongo.collection(KEYS), mongo.durable(KEYS)

    async def prepare(self) -> None:
        """Create the index by which a customer's key is found."""
        await self._keys.create_indexes([IndexModel([("of", ASCENDING)], sparse=True)])

    async def find(self, ids: Iterable[str]) -> dict[str, CustomerKey | None]:
        """Return those of the keys that are known, by id; None if a key was erased."""
        wanted = list(ids)
        found = self._keys.find({"_id": {"$in": wanted}}, batch_size=len(wanted) + 1)
        return {each["_id"]: _key(each) async for each in found}

    async def positions(self, topic_id: str) -> dict[int, int]:
        """Return where each partition of the topic with this id is to be read; those not read yet are left out."""
        prefix = f"{topic_id}/"
        found = self._keys.find({"_id": {"$gt": prefix, "$lt": f"{topic_id}0"}}, batch_size=1_000)  # 0 follows /
        return {int(each["_id"].removeprefix(prefix)): each["nextOffset"] async for each in found}

    async def apply(self, topic_id: str, records: Sequence[tuple[int, KeyRecord]]) -> None:
        """Store records of one partition of the topic, each with its offset, in their order."""
        writes = [write for offset, record in records for write in _writes(topic_id, offset, record)]
        if writes:
            await self._keys.bulk_write(writes)

    async def reached(self, topic_id: str, positions: Mapping[int, int]) -> None:
        """Store the progress, after the records before it."""
        writes = [
            UpdateOne({"_id": f"{topic_id}/{number}"}, {"$max": {"nextOffset": offset}}, upsert=True)
            for number, offset in positions.items()
        ]
        if writes:
            await self._durable.bulk_write(writes)


def _writes(topic_id: str, offset: int, record: KeyRecord) -> list[UpdateOne | UpdateMany]:
    of, here = record.name.decode(), {"topicId": topic_id, "offset": offset}
    earlier: Document = {"of": of, "$or": [{"topicId": {"$ne": topic_id}}, {"offset": {"$lt": offset}}]}
    erased = {"$set": {"erased": True, **here}, "$unset": {"wrapped": "", "of": ""}}
    if record.key is None:
        return [UpdateMany(earlier, erased)]
    key_id, new = record.key.id, {"of": of, "wrapped": record.key.wrapped, **here}
    from_before = {"wrapped": {"$exists": True}, "topicId": {"$ne": topic_id}}
    erased_too_early = {"erased": True, "topicId": topic_id, "offset": {"$lt": offset}}  # a key has one record
    return [
        UpdateMany({**earlier, "_id": {"$ne": key_id}}, erased),  # the tombstone between the two may be gone
        UpdateOne({"_id": key_id}, {"$setOnInsert": new}, upsert=True),
        UpdateOne({"_id": key_id, "$or": [from_before, erased_too_early]}, {"$set": new, "$unset": {"erased": ""}}),
    ]


def _key(document: Document) -> CustomerKey | None:
    return CustomerKey(document["_id"], document["wrapped"]) if "wrapped" in document else None
