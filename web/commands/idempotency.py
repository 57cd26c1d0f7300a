"""`Idempotency-Key`: the same request sent again gets the same answer, and nothing is done twice.

The key is claimed in MongoDB before anything is sent to Kafka, together with the ids of the command and of a new order.
Three kinds of answers are not stored:

- After a 202 the key remembers that the command is in Kafka. A repeated request waits for its outcome and does not send
  it again.
- After a 5xx, or an answer that says `retryable`, the same request may be sent again at once and continues under the
  same command id.
- If the process died before it answered, the same holds once its lease has ended. The read model of commands or the
  aggregate knows the outcome if the command was decided.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from aiohttp import web
from orjson import Fragment

from projections.mongo.idempotency import Claim
from streams.access.principals import OF_API_TOKEN
from streams.messages.envelope import new_id
from streams.runtime.faults import fault
from web.answers import Answer
from web.errors import Problem, problem_of
from web.preconditions import condition_of
from web.requests import CORRELATION, identifier, principal_of, single
from web.services import SERVICES

from .earlier_tries import FIRST_TRY, Tries
from .quota import spend

KEPT_HEADERS = ("Location", "Consistency-Token")
GRACE_SECONDS = 5.0  # that a lease lasts longer than a command may take


@dataclass(frozen=True, slots=True)
class Executed:
    """An answer, and whether to store it under the request's key."""

    answer: Answer
    sent: str | None = None  # do not store it: the command with this id is in Kafka and not decided yet
    again: bool = False  # do not store it: the same request may be sent again at once


# From a command id, an id to remember (a new order's), and the earlier tries of the request.
Execute = Callable[[str, str, Tries], Awaitable[Executed]]


async def keyed(
    request: web.Request, body: bytes, remembered: str | None, execute: Execute, commands: int = 1
) -> Answer:
    """Return the answer of `execute`; a repeated request gets the first one's.

    `commands` is how many commands the request sends; a 429 if its principal may not send them now.

    `remembered` is the id for `execute` to use; without one the key remembers a new id.
    """
    spend(request, commands)
    if (key := single(request.headers, "Idempotency-Key")) is None:
        return (await execute(new_id(), remembered or new_id(), FIRST_TRY)).answer
    services = request.app[SERVICES]
    wanted = Claim(
        key=_owned(request, identifier(key, "Idempotency-Key")),
        method=request.method,
        path=_address(request),
        body_hash=sha256(body).hexdigest(),
        command_id=new_id(),
        order_id=remembered or new_id(),
        condition=condition_of(request.headers),
    )
    fault("key-asked")
    longest = services.gateway.patience + services.settings.command_timeout
    ours, claim = await services.keys.claim(wanted, longest + GRACE_SECONDS)
    if not ours:
        return _replayed(request, wanted, claim)
    fault("key-claimed")
    done = await _executed(execute, claim, Tries(claim.command_id != wanted.command_id, claim.sent))
    if done.sent is not None:
        await services.keys.sent(claim, done.sent)
        fault("answer-stored")
    elif done.again:
        await services.keys.give_up(claim, decided=done.answer.status < 500)
    else:
        await services.keys.answer(claim, _stored(request, done.answer))
        fault("answer-stored")
    return done.answer


async def _executed(execute: Execute, claim: Claim, tries: Tries) -> Executed:
    """Return an answer also for errors, because the lease can be released when the request has certainly ended."""
    try:
        return await execute(claim.command_id, claim.order_id or "", tries)
    except Exception as error:
        if (problem := problem_of(error)) is None:
            raise
        return Executed(problem.answer(), again=problem.status >= 500 or problem.code == "MESSAGE_TOO_LARGE")


def _owned(request: web.Request, key: str) -> str:
    """Return the key with its owner, because two principals may choose the same key.

    The keys of installations with a single token, or none, had no owner, and stay as they are stored.
    """
    owner = principal_of(request)
    return key if owner in (None, OF_API_TOKEN.name) else f"{owner}\n{key}"


def _address(request: web.Request) -> str:
    """Return path and query; the order of the parameters does not matter."""
    address = request.rel_url.with_query(sorted(request.query.items())) if request.query else request.rel_url
    return str(address).encode(errors="backslashreplace").decode()


def _replayed(request: web.Request, wanted: Claim, claim: Claim) -> Answer:
    if not claim.same_request(wanted):
        raise Problem("IDEMPOTENCY_KEY_REUSED", "the key belongs to another request; send this one with a new key")
    if claim.answer is None:
        sentence = "the first request with this key is still in progress; retry in a moment"
        raise Problem("IDEMPOTENCY_KEY_IN_FLIGHT", sentence, headers={"Retry-After": "1"})
    stored = claim.answer
    if correlation := stored.get("correlationId"):
        request[CORRELATION] = correlation
    headers = {**stored["headers"], "Idempotency-Replayed": "true"}
    return Answer(Fragment(stored["body"]), stored["status"], headers)


def _stored(request: web.Request, answer: Answer) -> dict[str, Any]:
    return {
        "status": answer.status,
        "body": answer.encoded().decode(),
        "headers": {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers},
        "correlationId": request.get(CORRELATION),
        "final": True,
    }
