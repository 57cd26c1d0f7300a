"""`Idempotency-Key`: the same request again gets the same answer, and nothing is done twice.

The key is claimed in MongoDB before anything goes to Kafka, with the command's id and a new order's. An answer of 5xx,
or one that says "try again" (`retryable`), is not kept: the same request may be sent again at once, and goes on under
the same command id. So it is when the process dies before it answers, as soon as its lease is over. If the command was
decided, the read model of commands knows its outcome, or the aggregate knows the command.
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

from aiohttp import web

from projections.mongo.idempotency import Claim
from streams.faults import fault
from streams.messages import new_id

from .answers import raw_response
from .errors import Problem, problem_of
from .requests import CORRELATION, identifier
from .services import SERVICES

KEPT_HEADERS = ("Location", "Consistency-Token")
GRACE_SECONDS = 5.0  # a lease lasts so much longer than a command may take
RETRYABLE = (b'"error":"ALLOCATION_PENDING"',)
# Of a command id, an id for a new order, and whether the command may have been sent before.
Execute = Callable[[str, str, bool], Awaitable[web.Response]]


async def once(request: web.Request, key: str, sent: bytes, order_id: str | None, execute: Execute) -> web.Response:
    """Return what `execute` answers, or what it answered to the same request before.

    `order_id` is the client's own; without one the key remembers the id of the new order.
    """
    services = request.app[SERVICES]
    wanted = Claim(
        key=identifier(key, "Idempotency-Key"),
        method=request.method,
        path=request.path_qs,
        body_hash=sha256(sent).hexdigest(),
        command_id=new_id(),
        order_id=order_id or new_id(),
    )
    fault("key-asked")
    ours, claim = await services.keys.claim(wanted, 2 * services.settings.command_timeout + GRACE_SECONDS)
    if not ours:
        return _replayed(request, wanted, claim)
    fault("key-claimed")
    response = await _executed(execute, claim, again=claim.command_id != wanted.command_id)
    if response.status >= 500 or _again(response):
        await services.keys.give_up(claim)
    else:
        await services.keys.answer(claim, _stored(request, response))
        fault("answer-stored")
    return response


async def _executed(execute: Execute, claim: Claim, *, again: bool) -> web.Response:
    """Return an answer whatever happens: while it is known that nothing more will be done, the lease can be ended."""
    try:
        return await execute(claim.command_id, claim.order_id or "", again)
    except Exception as error:
        if (problem := problem_of(error)) is None:
            raise
        return problem.response()


def _again(response: web.Response) -> bool:
    return response.status == 409 and any(code in bytes(response.body or b"") for code in RETRYABLE)  # type: ignore[arg-type]


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
    }
