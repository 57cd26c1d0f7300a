"""Looking documents up together: one question for many who ask, and what is newer than the question for each."""

import asyncio
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from projections.mongo import client
from projections.mongo.asking import Asking
from projections.mongo.client import Mongo
from streams.runtime.settings import Settings


class Counted:
    """A collection that counts what it is asked."""

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


async def test_who_asks_alone_is_answered_at_once(collection: Counted):
    asking = Asking(collection, {"n": 1})  # type: ignore[arg-type]
    assert await asking.find("7") == {"_id": "7", "n": 7}
    assert await asking.find("nothing") is None


async def test_what_is_asked_at_the_same_time_is_one_question(collection: Counted):
    asking = Asking(collection)  # type: ignore[arg-type]
    found = await asyncio.gather(*(asking.find(name) for name in ("1", "2", "2", "x")))
    assert [one and one["n"] for one in found] == [1, 2, 2, None]
    assert collection.asked == [["1", "2", "x"]]


async def test_a_question_has_a_bound(collection: Counted):
    asking = Asking(collection)  # type: ignore[arg-type]
    found = await asyncio.gather(*(asking.find(str(number)) for number in range(450)))
    assert [one and one["n"] for one in found] == list(range(450))
    assert [len(ids) for ids in collection.asked] == [200, 200, 50]


async def test_nobody_gets_what_was_there_before_he_asked(mongo: Mongo, collection: Counted):
    asking = Asking(collection)  # type: ignore[arg-type]
    first = asyncio.create_task(asking.find("1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the question is under way
    await mongo.collection("things").update_one({"_id": "1"}, {"$set": {"n": 100}})
    again = await asking.find("1")
    await first
    assert (again or {})["n"] == 100


async def test_who_goes_away_takes_nobody_along(collection: Counted):
    asking = Asking(collection)  # type: ignore[arg-type]
    gone, stays = asyncio.create_task(asking.find("1")), asyncio.create_task(asking.find("2"))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await stays or {})["n"] == 2
    assert (await asking.find("3") or {})["n"] == 3


async def test_everyone_hears_of_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client, "SERVER_SELECTION_MS", 50)
    nowhere = Mongo(Settings(mongo="mongodb://127.0.0.1:9"))
    asking = Asking(nowhere.collection("things"))
    results = await asyncio.gather(*(asking.find(name) for name in ("1", "2")), return_exceptions=True)
    assert all(isinstance(result, PyMongoError) for result in results)
    await nowhere.close()
