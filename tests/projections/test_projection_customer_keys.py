"""The keys of customers in MongoDB: applied in order from the stored progress, by any number of processes."""

from privacy.keys import CustomerKey, KeyRecord, name_of
from projections.mongo.client import Mongo
from projections.mongo.customer_keys import StoredKeys

FIRST, SECOND = (CustomerKey.of(name, name.encode()) for name in ("k-1", "k-2"))
PUT, AGAIN = KeyRecord("c/1", 3, FIRST), KeyRecord("c/1", 3, SECOND)
TOMBSTONE = name_of(PUT.name)
ELSEWHERE = KeyRecord("c/1", 2, CustomerKey.of("k-3", b"x"))

LOG = [PUT, ELSEWHERE, TOMBSTONE, AGAIN]


async def kept(mongo: Mongo, *batches: list[KeyRecord], topic: str = "t") -> dict[str, CustomerKey | None]:
    """Apply batches of records, whose offsets are those in `LOG`; return the known keys."""
    keys = StoredKeys(mongo)
    await keys.prepare()
    for records in batches:
        await keys.apply(topic, [(LOG.index(record), record) for record in records])
    return await keys.find(["k-1", "k-2", "k-3"])


async def test_a_key_is_stored_and_erased(mongo: Mongo) -> None:
    assert await kept(mongo, [PUT, ELSEWHERE]) == {"k-1": FIRST, "k-3": ELSEWHERE.key}
    assert await kept(mongo, [TOMBSTONE]) == {"k-1": None, "k-3": ELSEWHERE.key}
    (erased,) = await mongo.collection("customer_keys").find({"_id": "k-1"}).to_list(None)
    assert erased == {"_id": "k-1", "erased": True, "topicId": "t", "offset": 2}


async def test_a_new_key_erases_the_one_before_even_without_its_tombstone(mongo: Mongo) -> None:
    assert await kept(mongo, [PUT], [AGAIN]) == {"k-1": None, "k-2": SECOND}


async def test_records_that_are_applied_again_bring_nothing_back(mongo: Mongo) -> None:
    everything = [PUT, TOMBSTONE, AGAIN]
    assert await kept(mongo, everything, [PUT]) == {"k-1": None, "k-2": SECOND}, "by a process that was paused"
    assert await kept(mongo, everything) == {"k-1": None, "k-2": SECOND}
    assert await kept(mongo, [PUT, TOMBSTONE]) == {"k-1": None, "k-2": SECOND}


async def test_a_topic_that_was_created_again_erases_the_keys_of_the_one_before(mongo: Mongo) -> None:
    assert await kept(mongo, [AGAIN]) == {"k-2": SECOND}
    assert await kept(mongo, [PUT], topic="another") == {"k-1": FIRST, "k-2": None}


async def test_a_topic_that_was_created_again_with_the_same_records_keeps_their_keys(mongo: Mongo) -> None:
    live = {"k-1": None, "k-2": SECOND, "k-3": ELSEWHERE.key}
    assert await kept(mongo, LOG) == live
    assert await kept(mongo, [ELSEWHERE], [PUT, TOMBSTONE], [AGAIN], topic="another") == live
    (found,) = await mongo.collection("customer_keys").find({"_id": "k-3"}).to_list(None)
    assert found["topicId"] == "another", "so that this topic can erase it"
    assert await kept(mongo, LOG, [PUT], topic="another") == live
    await StoredKeys(mongo).apply("another", [(4, TOMBSTONE)])
    assert await kept(mongo, LOG, topic="another") == live | {"k-2": None}, "erased by a later record"


async def test_a_key_that_was_erased_stays_erased_when_an_older_copy_of_the_topic_is_restored(mongo: Mongo) -> None:
    assert await kept(mongo, [PUT, TOMBSTONE]) == {"k-1": None}
    assert await kept(mongo, [PUT], topic="restored") == {"k-1": None}


async def test_the_progress_belongs_to_a_topic_and_never_goes_back(mongo: Mongo) -> None:
    keys = StoredKeys(mongo)
    assert await keys.positions("t") == {}
    await keys.reached("t", {0: 5, 11: 7})
    await keys.reached("t", {0: 4, 1: 1})
    await keys.reached("t1", {0: 9})
    assert await keys.positions("t") == {0: 5, 1: 1, 11: 7}
