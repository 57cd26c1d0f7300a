"""Batched lookups of documents: one query for concurrent callers, whose answers are as new as their calls."""

import asyncio
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from projections.mongo import client
from projections.mongo.asking import Asking
from projections.mongo.client import Mongo
from streams.runtime.settings import Settings


class Counted:
    """A collection that counts its queries."""

    def __init__(self, collection: Any) -> None:
        self.collection, self.asked = collection, list[list[str]]()

    def find(self, query: Any, fields: Any, batch_size: int) -> Any:
        self.asked.append(sorted(query["_id"]["$in"]))
        return self.collection.find(query, fields, batch_size=batch_size)


@pytest.fixture
async def collection(mongo: Mongo) -> Counted:
    things = mongo.collection("things")
    await things.insert_many([{"_id": str(number), "n": number, "other": 0} for number in range(500)])
    return Counted(things)


async def test_a_single_lookup_is_answered_at_once(collection: Counted):
    asking = Asking(collection, {"n": 1})  # type: ignore[arg-type]
    assert await asking.find("7") == {"_id": "7", "n": 7}
    assert await asking.find("nothing") is None


async def test_concurrent_lookups_share_a_query(collection: Counted):
    asking = Asking(collection)  # type: ignore[arg-type]
    found = await asyncio.gather(*(asking.find(name) for name in ("1", "2", "2", "x")))
    assert [one and one["n"] for one in found] == [1, 2, 2, None]
    assert collection.asked == [["1", "2", "x"]]


async def test_a_query_looks_into_another_collection_too(mongo: Mongo, collection: Counted):
    others = [{"_id": "1", "n": 10, "sequence": 1}, {"_id": "2", "n": 20, "sequence": -1}, {"_id": "x", "n": 0}]
    await mongo.collection("others").insert_many([{**each, "other": 0} for each in others])
    asking = Asking(mongo.collection("things"), {"n": 1, "sequence": 1}, "others")
    found = await asyncio.gather(*(asking.find(name) for name in ("1", "2", "3", "x", "y")))
    assert [one and one["n"] for one in found] == [10, 2, 3, 0, None], "the one with more events"
    assert found[0] == {"_id": "1", "n": 10, "sequence": 1}


async def test_a_query_is_limited_in_size(collection: Counted):
    asking = Asking(collection)  # type: ignore[arg-type]
    found = await asyncio.gather(*(asking.find(str(number)) for number in range(450)))
    assert [one and one["n"] for one in found] == list(range(450))
    assert [len(ids) for ids in collection.asked] == [200, 200, 50]


async def test_a_lookup_never_gets_a_document_older_than_its_call(mongo: Mongo, collection: Counted):
    asking = Asking(collection)  # type: ignore[arg-type]
    first = asyncio.create_task(asking.find("1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the query is running
    await mongo.collection("things").update_one({"_id": "1"}, {"$set": {"n": 100}})
    again = await asking.find("1")
    await first
    assert (again or {})["n"] == 100


async def test_a_cancelled_lookup_does_not_affect_others(collection: Counted):
    asking = Asking(collection)  # type: ignore[arg-type]
    gone, stays = asyncio.create_task(asking.find("1")), asyncio.create_task(asking.find("2"))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await stays or {})["n"] == 2
    assert (await asking.find("3") or {})["n"] == 3


async def test_every_caller_gets_the_error_of_an_unreachable_database(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client, "SERVER_SELECTION_MS", 50)
    nowhere = Mongo(Settings(mongo="mongodb://127.0.0.1:9"))
    asking = Asking(nowhere.collection("things"))
    results = await asyncio.gather(*(asking.find(name) for name in ("1", "2")), return_exceptions=True)
    assert all(isinstance(result, PyMongoError) for result in results)
    await nowhere.close()
