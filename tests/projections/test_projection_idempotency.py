"""Idempotency keys on a real MongoDB: of several concurrent requests, exactly one claims the key."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from projections.mongo import idempotency
from projections.mongo.client import Mongo
from projections.mongo.idempotency import Claim, IdempotencyKeys

FIRST = Claim("key", "POST", "/api/v1/orders", "hash", "c-1", "o-1")


@pytest.fixture
def keys(mongo: Mongo) -> IdempotencyKeys:
    return IdempotencyKeys(mongo)


async def test_one_of_many_concurrent_requests_claims_the_key_and_all_learn_its_ids(keys: IdempotencyKeys):
    claims = [replace(FIRST, command_id=f"c-{n}") for n in range(10)]
    results = await asyncio.gather(*(keys.claim(claim) for claim in claims))
    (winner,) = [claim for mine, claim in results if mine]
    assert {claim.command_id for _, claim in results} == {winner.command_id}


async def test_the_first_answer_is_kept(keys: IdempotencyKeys):
    await keys.claim(FIRST)
    await keys.answer(FIRST, {"status": 201})
    await keys.answer(FIRST, {"status": 422})
    assert await keys.claim(FIRST) == (False, replace(FIRST, answer={"status": 201}))


async def test_another_request_cannot_claim_the_key(keys: IdempotencyKeys):
    await keys.claim(FIRST)
    await keys.give_up(FIRST)
    mine, found = await keys.claim(other := replace(FIRST, body_hash="other", command_id="c-2"))
    assert not mine
    assert not found.same_request(other)


async def test_a_request_that_was_given_up_continues_with_its_ids(keys: IdempotencyKeys):
    await keys.claim(FIRST)
    assert await keys.claim(replace(FIRST, command_id="c-2", order_id="o-2")) == (False, FIRST)
    await keys.give_up(FIRST)
    again = [replace(FIRST, command_id=f"c-{n}", order_id="o-2") for n in range(2, 9)]
    results = await asyncio.gather(*(keys.claim(claim) for claim in again))
    assert [mine for mine, _ in results].count(True) == 1
    assert {(claim.command_id, claim.order_id) for _, claim in results} == {("c-1", "o-1")}


async def test_an_answered_request_is_not_repeated(keys: IdempotencyKeys):
    await keys.claim(FIRST, lease_seconds=-1)
    await keys.answer(FIRST, {"status": 201})
    assert not (await keys.claim(FIRST))[0]


async def test_a_repeat_learns_which_command_was_sent(keys: IdempotencyKeys):
    await keys.claim(FIRST)
    await keys.sent(FIRST, "c-1-attempt-7")
    again = replace(FIRST, command_id="c-2")
    assert await keys.claim(again) == (True, replace(FIRST, sent="c-1-attempt-7"))
    assert (await keys.claim(again))[0] is False  # being answered
    await keys.give_up(FIRST)  # Kafka did not accept the attempt after it
    assert await keys.claim(again) == (True, replace(FIRST, sent="c-1-attempt-7"))
    await keys.give_up(FIRST, decided=True)
    assert await keys.claim(again) == (True, FIRST)


async def test_an_answer_replaces_the_command_that_was_sent(keys: IdempotencyKeys):
    await keys.claim(FIRST)
    await keys.sent(FIRST, "c-1")
    await keys.claim(FIRST)
    await keys.answer(FIRST, {"status": 201, "final": True})
    mine, found = await keys.claim(FIRST)
    assert (mine, found.answer) == (False, {"status": 201, "final": True})


async def test_a_pending_answer_stored_by_an_earlier_version_is_not_final(mongo: Mongo, keys: IdempotencyKeys):
    body = '{"success":true,"data":{"id":"o-1","commandId":"019ad3a5-0f0e-7d00-8000-000000000001","status":"pending"}}'
    written = {  # as written before a 202 was no longer taken as final
        "_id": "key", "method": "POST", "path": "/api/v1/orders", "bodyHash": "hash", "commandId": "c-1",
        "orderId": "o-1", "leasedUntil": datetime(2026, 11, 29, tzinfo=UTC),
        "expiresAt": datetime(2099, 1, 1, tzinfo=UTC),
        "answer": {"status": 202, "body": body, "headers": {}, "correlationId": "c-1"},
    }  # fmt: skip
    await mongo.collection("idempotency").insert_one(written)
    sent = replace(FIRST, sent="019ad3a5-0f0e-7d00-8000-000000000001")
    again = replace(FIRST, command_id="c-2", condition='If-Match: "3"')  # conditions were not kept: may be any
    assert await keys.claim(again) == (True, sent)
    await keys.give_up(sent)
    assert await keys.claim(again) == (True, sent)
    await keys.answer(sent, {"status": 201})
    assert await keys.claim(again) == (False, replace(FIRST, answer={"status": 201}))


async def test_the_answer_to_an_accepted_batch_stays(keys: IdempotencyKeys):
    await keys.claim(FIRST)
    await keys.answer(FIRST, {"status": 202, "final": True})
    assert await keys.claim(FIRST) == (False, replace(FIRST, answer={"status": 202, "final": True}))


@pytest.mark.parametrize(("kept", "same"), [("", False), ('If-Match: "3"', True), ('If-Match: "4"', False)])
async def test_another_condition_is_another_request(keys: IdempotencyKeys, kept: str, same: bool):
    await keys.claim(replace(FIRST, condition=kept))
    await keys.give_up(FIRST)
    mine, found = await keys.claim(wanted := replace(FIRST, condition='If-Match: "3"'))
    assert (mine, found.same_request(wanted)) == (same, same)


class Clock(datetime):
    """A clock that can be set."""

    offset = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.offset


@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=-400), timedelta(hours=1)])
async def test_a_clock_that_jumps_blocks_no_request(
    keys: IdempotencyKeys, monkeypatch: pytest.MonkeyPatch, jump: timedelta
):
    monkeypatch.setattr(idempotency, "datetime", Clock)
    monkeypatch.setattr(Clock, "offset", timedelta())
    await keys.claim(FIRST)  # and its process dies
    assert not (await keys.claim(replace(FIRST, command_id="c-2")))[0]
    monkeypatch.setattr(Clock, "offset", jump)
    assert await keys.claim(replace(FIRST, command_id="c-3")) == (True, FIRST)
    assert not (await keys.claim(replace(FIRST, command_id="c-4")))[0]
    await keys.answer(FIRST, {"status": 201})
    monkeypatch.setattr(Clock, "offset", timedelta())
    assert await keys.claim(FIRST) == (False, replace(FIRST, answer={"status": 201}))
