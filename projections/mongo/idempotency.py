"""Idempotency keys: what a request was, and what it was answered, kept for a week.

A key is claimed before anything is produced. Who claimed it has a lease; when that ran out without an answer (the
process died, or gave the key up), the same request may claim it again and goes on with the same command id, which the
aggregate knows if it ever got it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.errors import DuplicateKeyError

from projections.document import Document
from projections.mongo.client import Mongo
from projections.mongo.indexes import IDEMPOTENCY

KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Claim:
    """A request under a key; `command_id` and `order_id` are those the first try made up."""

    key: str
    method: str
    path: str
    body_hash: str
    command_id: str
    order_id: str | None = None
    answer: dict[str, Any] | None = None

    def same_request(self, other: "Claim") -> bool:
        """Say whether both are the same request."""
        return (self.method, self.path, self.body_hash) == (other.method, other.path, other.body_hash)


class IdempotencyKeys:
    """The keys of this installation."""

    def __init__(self, mongo: Mongo) -> None:
        self._keys = mongo.durable(IDEMPOTENCY)

    async def claim(self, claim: Claim, lease_seconds: float = 30.0) -> tuple[bool, Claim]:
        """Return whether the key is ours now, and the claim that counts: with it, its command id and its answer.

        Not ours, and no `same_request`: reused. Not ours, without an answer: in flight.
        """
        now = datetime.now(UTC)
        until = now + timedelta(seconds=lease_seconds)
        while True:
            try:
                await self._keys.insert_one(_document(claim, until, now + KEPT))
                return True, claim
            except DuplicateKeyError:
                pass
            again = {**_request(claim), "answer": None, "$or": _over(now, lease_seconds)}
            if taken := await self._keys.find_one_and_update(again, {"$set": {"leasedUntil": until}}):
                return True, _claim(taken)
            if found := await self._keys.find_one({"_id": claim.key}):
                return False, _claim(found)
            # it expired between the two: insert it after all

    async def answer(self, claim: Claim, answer: dict[str, Any]) -> None:
        """Store what the request was answered; the first answer stays."""
        await self._keys.update_one({"_id": claim.key, "answer": None}, {"$set": {"answer": answer}})

    async def give_up(self, claim: Claim) -> None:
        """End the lease without an answer, so that the same request may be tried again at once."""
        await self._keys.update_one({"_id": claim.key}, {"$set": {"leasedUntil": datetime.fromtimestamp(0, UTC)}})


def _over(now: datetime, lease_seconds: float) -> list[Document]:
    """Return what is true of leases that are over: one that goes on for too long is of a clock that was set back."""
    longest = now + timedelta(seconds=2 * lease_seconds)
    return [{"leasedUntil": {"$lt": now}}, {"leasedUntil": {"$gt": longest}}]


def _request(claim: Claim) -> Document:
    return {"_id": claim.key, "method": claim.method, "path": claim.path, "bodyHash": claim.body_hash}


def _document(claim: Claim, leased_until: datetime, expires_at: datetime) -> Document:
    return {
        **_request(claim),
        "commandId": claim.command_id,
        "orderId": claim.order_id,
        "answer": claim.answer,
        "leasedUntil": leased_until,
        "expiresAt": expires_at,
    }


def _claim(document: Document) -> Claim:
    return Claim(
        key=document["_id"],
        method=document["method"],
        path=document["path"],
        body_hash=document["bodyHash"],
        command_id=document["commandId"],
        order_id=document["orderId"],
        answer=document["answer"],
    )
