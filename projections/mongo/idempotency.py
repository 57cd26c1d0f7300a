"""Idempotency keys: a request and its answer, kept for a week.

A key is claimed before anything is produced, and the process that claimed it holds a lease. If the lease expires or is
released without an answer, the same request may claim the key again and continues under the same command id. A claim
that is `sent` names a command that is certainly in Kafka: it must not be sent again, only awaited.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from pymongo.errors import DuplicateKeyError

from projections.document import Document
from projections.mongo.client import Mongo
from projections.mongo.indexes import IDEMPOTENCY

KEPT = timedelta(days=7)
ENDED = datetime.fromtimestamp(0, UTC)  # an expired lease
# A 202 is not final: earlier versions stored it as the answer. It names the command that was sent.
UNANSWERED: Document = {"answer.status": {"$in": [None, 202]}, "answer.final": {"$ne": True}}


@dataclass(frozen=True, slots=True)
class Claim:
    """A request under a key; `command_id` and `order_id` are the ones the first attempt generated.

    `condition`: the preconditions of the request; None in claims of earlier versions, which did not keep them. `sent`:
    the id of the command, or of its last attempt, that is certainly in Kafka and was not decided in time.
    """

    key: str
    method: str
    path: str
    body_hash: str
    command_id: str
    order_id: str | None = None
    answer: dict[str, Any] | None = None
    condition: str | None = None
    sent: str | None = None

    def same_request(self, other: "Claim") -> bool:
        """Return whether both are the same request."""
        if (self.method, self.path, self.body_hash) != (other.method, other.path, other.body_hash):
            return False
        return None in (self.condition, other.condition) or self.condition == other.condition


class IdempotencyKeys:
    """The idempotency keys of this installation."""

    def __init__(self, mongo: Mongo) -> None:
        self._keys = mongo.durable(IDEMPOTENCY)

    async def claim(self, claim: Claim, lease_seconds: float = 30.0) -> tuple[bool, Claim]:
        """Return whether this process now holds the key, and the valid claim with its command id and answer.

        Not held and not `same_request`: the key was reused. Not held, without an answer: the request is in flight.
        """
        now = datetime.now(UTC)
        until = now + timedelta(seconds=lease_seconds)
        while True:
            try:
                await self._keys.insert_one(_document(claim, until, now + KEPT))
                return True, claim
            except DuplicateKeyError:
                pass
            condition = {"condition": {"$in": [claim.condition, None]}}  # None: earlier versions did not keep it
            again = {**_request(claim), **condition, **UNANSWERED, "$or": _over(now, lease_seconds)}
            if taken := await self._keys.find_one_and_update(again, {"$set": {"leasedUntil": until}}):
                return True, _claim(taken)
            if found := await self._keys.find_one({"_id": claim.key}):
                return False, _claim(found)
            # the claim expired between the two operations: insert it

    async def answer(self, claim: Claim, answer: dict[str, Any]) -> None:
        """Store the answer to the request; the first answer stays."""
        await self._keys.update_one({"_id": claim.key, **UNANSWERED}, {"$set": {"answer": answer}})

    async def sent(self, claim: Claim, command_id: str) -> None:
        """Record that `command_id` is in Kafka and not decided, and end the lease; a repeat waits for the outcome."""
        change = {"sent": command_id, "answer": None, "leasedUntil": ENDED}
        await self._keys.update_one({"_id": claim.key, **UNANSWERED}, {"$set": change})

    async def give_up(self, claim: Claim, *, decided: bool = False) -> None:
        """End the lease without an answer, so that the same request may be retried at once.

        `decided`: the command got an outcome that allows a retry, so that there is nothing left to wait for.
        """
        change: Document = {"leasedUntil": ENDED, **({"sent": None, "answer": None} if decided else {})}
        await self._keys.update_one({"_id": claim.key, **UNANSWERED}, {"$set": change})


def _over(now: datetime, lease_seconds: float) -> list[Document]:
    """Return the query for expired leases; one that lasts too long was made before the clock was set back."""
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
        "condition": claim.condition,
        "leasedUntil": leased_until,
        "expiresAt": expires_at,
    }


def _claim(document: Document) -> Claim:
    answer: dict[str, Any] | None = document["answer"]
    sent: str | None = document.get("sent")
    if answer is not None and answer.get("status") == 202 and not answer.get("final"):
        sent = orjson.loads(answer["body"])["data"]["commandId"]
        answer = None
    return Claim(
        key=document["_id"],
        method=document["method"],
        path=document["path"],
        body_hash=document["bodyHash"],
        command_id=document["commandId"],
        order_id=document["orderId"],
        answer=answer,
        condition=document.get("condition"),
        sent=sent,
    )
