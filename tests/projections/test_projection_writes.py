"""Bulk writes of documents: guarded, in as few commands as possible, and each document unchanged."""

from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from projections.mongo import writes
from projections.mongo.client import Collection, Mongo
from projections.mongo.writes import Put, Unwritable, WriteFailed, insert, judged, put


@pytest.fixture
def things(mongo: Mongo) -> Collection:
    return mongo.collection("things")


def thing(name: str, sequence: int, **more: Any) -> dict[str, Any]:
    return {"_id": name, "sequence": sequence, **more}


async def found(things: Collection) -> list[dict[str, Any]]:
    return await things.find().sort("_id").to_list(None)


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_document_that_looks_like_an_expression_is_written_unchanged(things: Collection, fresh: bool):
    odd = thing("a", 1, text="$sequence", more=["$$ROOT", {"of": "$$new"}], sum={"add": [1, "$sequence"]}, none=None)
    assert await put(things, [Put(odd, fresh)])
    assert await found(things) == [odd]


async def test_a_newer_document_stays_and_an_older_one_is_replaced_as_a_whole(things: Collection):
    await put(things, [Put(thing("a", 5), True), Put(thing("b", 5, gone=1), True)])
    assert not await put(
        things, [Put(thing("a", 5, late=1), True), Put(thing("b", 6), False), Put(thing("c", 1), False)]
    )
    assert await found(things) == [thing("a", 5), thing("b", 6), thing("c", 1)]


async def test_fresh_documents_that_exist_are_replaced_if_older(things: Collection):
    await insert(things, [thing(str(number), 1) for number in range(3)])
    assert await put(things, [Put(thing(str(number), 2), fresh=True) for number in range(5)])
    assert await found(things) == [thing(str(number), 2) for number in range(5)]


async def test_many_documents_take_several_commands(things: Collection, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writes, "MOST", 3)
    await insert(things, [thing(name, 1) for name in "dg"])
    puts = [Put(thing(name, 2), fresh=True) for name in "abcdefgh"]
    assert await put(things, puts)
    assert await found(things) == [one.document for one in puts]


async def test_documents_that_do_not_fit_into_one_command_are_written_in_several(things: Collection):
    large = [thing(name, 1, text="x" * (6 << 20)) for name in "abcdef"]
    await insert(things, large)
    assert await put(things, [Put({**each, "sequence": 2}, fresh=False) for each in large])
    assert [(each["_id"], each["sequence"]) for each in await found(things)] == [(name, 2) for name in "abcdef"]


@pytest.mark.parametrize("unwritable", [{"text": "x" * (17 << 20)}, {"number": 1 << 64}])
@pytest.mark.parametrize("fresh", [True, False])
async def test_a_document_that_can_never_be_written_differs_from_a_failed_write(
    things: Collection, unwritable: Any, fresh: bool
):
    with pytest.raises(Unwritable, match="a document of things"):
        await put(things, [Put(thing("a", 1), fresh), Put(thing("b", 1, **unwritable), fresh)])


async def test_only_provisional_documents_are_replaced(things: Collection):
    await insert(things, [thing("a", 0, state="waits"), thing("b", 0, state="done")])
    await insert(things, [thing("a", 1, state="done"), thing("b", 1, state="late")], {"state": "waits"})
    assert await found(things) == [thing("a", 1, state="done"), thing("b", 0, state="done")]


async def test_a_failed_write_reports_the_reason_without_the_document(things: Collection):
    await things.database.create_collection("things", validator={"sequence": {"$lt": 10}})
    with pytest.raises(
        WriteFailed, match="things: 1 writes failed, the first one with Document failed validation"
    ) as failed:
        await insert(things, [thing("a", 1), thing("b", 10, text="a private address")])
    assert "somebody" not in str(failed.value)
    assert await found(things) == [thing("a", 1)]


def test_a_write_that_may_be_rolled_back_is_reported_for_retry():
    election = {"code": 11602, "errmsg": "operation was interrupted"}
    with pytest.raises(
        AutoReconnect, match="things: written, but not with the requested durability: operation was interr"
    ):
        judged("things", "insert", {"n": 2, "writeConcernError": election})


@pytest.mark.parametrize("fill", ["", "x", "xx", "xxx"])
@pytest.mark.parametrize("letter", ["ä", "編", "😀"])
async def test_a_long_id_in_any_script_is_written_again_like_any_other(things: Collection, letter: str, fill: str):
    name = fill + letter * 128  # MongoDB's message that it exists is cut within a character
    assert await put(things, [Put(thing(name, 1), fresh=True)])
    assert await put(things, [Put(thing(name, 2), fresh=True)])
    assert await found(things) == [thing(name, 2)]
