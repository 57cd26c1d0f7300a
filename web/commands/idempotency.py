"""`Idempotency-Key`: the same request again gets the same answer, and nothing is done twice.

The key is claimed in MongoDB before anything goes to Kafka, with the command's id and a new order's. Three answers are
not kept. A 202 is not an outcome yet: the key remembers that the command is in Kafka, and a repeat waits for its
outcome without sending it again. After a 5xx, and after an answer that says "try again" (`retryable`), the same request
may be sent again at once, and continues under the same command id. The same holds when the process dies before it
answers, as soon as its lease is over: if the command was decided, the read model of commands or the aggregate knows its
outcome.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from aiohttp import web

from projections.mongo.idempotency import Claim
from streams.messages.envelope import CommandMessage, Outcome, new_id
from streams.runtime.faults import fault
from web.answers import raw_response
from web.errors import Problem, problem_of
from web.requests import CORRELATION, identifier, single
from web.services import SERVICES

from .earlier_tries import FIRST_TRY, Tries
from .preconditions import condition_of

KEPT_HEADERS = ("Location", "Consistency-Token")
GRACE_SECONDS = 5.0  # a lease lasts so much longer than a command may take


@dataclass(frozen=True, slots=True)
class Executed:
    """An answer, and whether it is kept under the request's key."""

    response: web.Response
    sent: str | None = None  # not kept: the command with this id is in Kafka and not decided yet
    again: bool = False  # not kept: the same request may be sent again at once


# Of a command id, an id for a new order, and what is known of earlier tries.
Execute = Callable[[str, str, Tries], Awaitable[Executed]]


def executed(response: web.Response, attempt: CommandMessage, outcome: Outcome | None) -> Executed:
    """Return the answer to one command."""
    if outcome is None:
        return Executed(response, sent=attempt.id)
    return Executed(response, again=outcome.retryable)


async def keyed(request: web.Request, sent: bytes, order_id: str | None, execute: Execute) -> web.Response:
    """Return what `execute` answers, once if the request has an Idempotency-Key."""
    if (key := single(request.headers, "Idempotency-Key")) is None:
        return (await execute(new_id(), order_id or new_id(), FIRST_TRY)).response
    return await once(request, key, sent, order_id, execute)


async def once(request: web.Request, key: str, sent: bytes, order_id: str | None, execute: Execute) -> web.Response:
    """Return what `execute` answers, or what it answered to the same request before.

    `order_id` is the client's own; without one the key remembers the id of the new order.
    """
    services = request.app[SERVICES]
    wanted = Claim(
        key=identifier(key, "Idempotency-Key"),
        method=request.method,
        path=_address(request),
        body_hash=sha256(sent).hexdigest(),
        command_id=new_id(),
        order_id=order_id or new_id(),
        condition=condition_of(request.headers),
    )
    fault("key-asked")
    ours, claim = await services.keys.claim(wanted, 2 * services.settings.command_timeout + GRACE_SECONDS)
    if not ours:
        return _replayed(request, wanted, claim)
    fault("key-claimed")
    done = await _executed(execute, claim, Tries(claim.command_id != wanted.command_id, claim.sent))
    if done.sent is not None:
        await services.keys.sent(claim, done.sent)
        fault("answer-stored")
    elif done.again:
        await services.keys.give_up(claim, decided=done.response.status < 500)
    else:
        await services.keys.answer(claim, _stored(request, done.response))
        fault("answer-stored")
    return done.response


async def _executed(execute: Execute, claim: Claim, tries: Tries) -> Executed:
    """Return an answer whatever happens: while it is known that nothing more will be done, the lease can be ended."""
    try:
        return await execute(claim.command_id, claim.order_id or "", tries)
    except Exception as error:
        if (problem := problem_of(error)) is None:
            raise
        return Executed(problem.response(), again=problem.status >= 500 or problem.code == "MESSAGE_TOO_LARGE")


def _address(request: web.Request) -> str:
    """Return path and query; the order of the parameters means nothing."""
    address = request.rel_url.with_query(sorted(request.query.items())) if request.query else request.rel_url
    return str(address).encode(errors="backslashreplace").decode()


def _replayed(request: web.Request, wanted: Claim, claim: Claim) -> web.Response:
    if not claim.same_request(wanted):
        raise Problem(422, "IDEMPOTENCY_KEY_REUSED", "the key was used for another request; use a new one")
    if claim.answer is None:
        raise Problem(
            409, "IDEMPOTENCY_KEY_IN_FLIGHT", "the request is still being answered", headers={"Retry-After": "1"}
        )
    stored = claim.answer
    if correlation := stored.get("correlationId"):
        request[CORRELATION] = correlation
    headers = {**stored["headers"], "Idempotency-Replayed": "true"}
    return raw_response(stored["body"].encode(), stored["status"], headers)


def _stored(request: web.Request, response: web.Response) -> dict[str, Any]:
    return {
        "status": response.status,
        "body": (response.text or ""),
        "headers": {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers},
        "correlationId": request.get(CORRELATION),
        "final": True,
    }
