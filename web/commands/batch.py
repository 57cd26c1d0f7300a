"""`POST /commands`: envelopes as on Kafka; one, an array of them, or one on each line."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from aiohttp import web

from domain.message import MAX_ID
from streams.messages.cloudevents import by_headers, decoded
from streams.messages.codec import BadMessage, RecordAt, decode_command, names_order
from streams.messages.envelope import CommandMessage, now, sibling_id
from streams.messages.expected import Expected, expected_of
from streams.topology import AGGREGATES, aggregate_of
from web.answers import Answer, answer
from web.errors import Problem, invalid, problem_of
from web.preconditions import expected_version, valid_until
from web.requests import CORRELATION, JSON_TYPES, body_of, json_in, principal_of, require_type
from web.services import SERVICES, Services

from .answering import outcome_path
from .earlier_tries import Tries, undecided
from .idempotency import Executed, keyed

LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines")
TYPES = (*JSON_TYPES, *LINES)
NOWHERE = RecordAt("http", 0, 0, 0.0, None)  # a command over HTTP has an id and a time before it is decoded


async def send_commands(request: web.Request) -> Answer:
    """Send every valid command to Kafka without waiting for outcomes; answer with an id or an error for each."""
    require_type(request, TYPES)
    body = await body_of(request)
    attributes = [(name.lower(), value) for name, value in request.headers.items() if name.lower().startswith("ce-")]
    if attributes:
        envelopes, single = [_binary(body, request)], True
    else:
        envelopes, single = _envelopes(body, request.content_type in LINES)
    expected = expected_version(request.headers)
    if expected is not None and len(envelopes) > 1:
        raise invalid({"If-Match": "applies to a single command; in a batch, set expectedversion in each envelope"})

    async def execute(command_id: str, order_id: str, tries: Tries) -> Executed:
        ids = partial(_ids, command_id, order_id)
        services = request.app[SERVICES]
        read = [_read(envelope, ids(number), request, expected) for number, envelope in enumerate(envelopes)]
        return Executed(await _sent(services, [await _sendable(services, each) for each in read], single, tries))

    # Other attributes make it another request.
    sent = b"%b\n%b" % (ascii(sorted(attributes)).encode(), body) if attributes else body
    return await keyed(request, sent, None, execute, len(envelopes))


async def _sent(services: Services, read: Sequence[CommandMessage | BadMessage], single: bool, tries: Tries) -> Answer:
    """Send the valid commands, unless an earlier try of the request got them decided."""
    messages = [each for each in read if isinstance(each, CommandMessage)]
    if not messages:
        raise _all_refused([each for each in read if isinstance(each, BadMessage)], single)
    services.imports.refuse_commands()
    await services.gateway.send(await undecided(services, messages) if tries.possible else messages)
    for message in messages:
        services.accepted.add(message.id)
    ids = Counter(message.id for message in messages)
    data = [
        _taken(each, whole=ids[each.id] > 1) if isinstance(each, CommandMessage) else _refused(each) for each in read
    ]
    headers = {"Location": outcome_path(messages[0])} if single else None
    return answer(data[0] if single else data, 202, headers)


async def _sendable(services: Services, read: CommandMessage | BadMessage) -> CommandMessage | BadMessage:
    """Return a command, or the error that it exceeds the known limit of its topic."""
    if isinstance(read, CommandMessage) and (refusal := await services.gateway.too_large(read)) is not None:
        return BadMessage("MESSAGE_TOO_LARGE", str(refusal))
    return read


def _ids(command_id: str, order_id: str, number: int) -> tuple[str, str]:
    """Return the ids of the `number`-th command of a request and of an order that it places."""
    return (sibling_id(command_id, number), sibling_id(order_id, number)) if number else (command_id, order_id)


def _envelopes(body: bytes, lines: bool) -> tuple[list[Any], bool]:
    """Return the envelopes and whether the body is a single one; invalid JSON on one of several lines fails alone."""
    found = [line for line in body.splitlines() if line.strip()]
    if not found:
        raise Problem("NOT_JSON", "the body is empty; send one envelope, a JSON array, or one envelope on each line")
    if not lines:
        try:
            parsed = orjson.loads(body)
            return (parsed, False) if isinstance(parsed, list) and parsed else ([parsed], True)
        except orjson.JSONDecodeError:
            if b"\n" not in body.strip():
                json_in(body)
    return [_line(line) for line in found], False


def _binary(body: bytes, request: web.Request) -> Any:
    """Return the envelope in CloudEvents' binary mode, where percent-encoded `ce-…` headers have the attributes."""
    headers = (
        (name, unquote_to_bytes(value.encode(errors="surrogateescape"))) for name, value in request.headers.items()
    )
    try:
        return by_headers(body, headers)
    except BadMessage as error:
        return error


def _line(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return BadMessage("INVALID_MESSAGE", f"not JSON: {error}")


def _read(
    envelope: Any, ids: tuple[str, str], request: web.Request, expected: Expected | None
) -> CommandMessage | BadMessage:
    if isinstance(envelope, BadMessage):
        return envelope
    if not isinstance(envelope, dict):
        return BadMessage("INVALID_MESSAGE", "a command must be a JSON object with type and data")
    name = envelope.get("type")
    aggregate = aggregate_of(name) if isinstance(name, str) else None
    if aggregate is None:
        known = ", ".join(name for aggregate in AGGREGATES.values() for name in aggregate.types)
        return BadMessage("UNKNOWN_TYPE", f"unknown command type {name!r:.{MAX_ID}}; known types are {known}")
    try:
        completed = _completed(envelope, ids, request)
        if expected is not None:
            _expect(completed, expected)
        return decode_command(orjson.dumps(completed), NOWHERE, aggregate.types, aggregate.id_field)
    except BadMessage as error:
        return error
    except (orjson.JSONEncodeError, RecursionError):  # orjson reads 1,024 levels and writes 254
        return BadMessage("INVALID_MESSAGE", "data is nested too deeply")


def _expect(envelope: dict[str, Any], expected: Expected) -> None:
    """Add the versions that the request's preconditions allow; raise if the envelope names others."""
    said = envelope.setdefault("expectedversion", expected)
    if expected_of(said) != expected:
        sentence = f"expectedversion is {said!r:.40} in the envelope and {expected!r} by If-Match or If-None-Match"
        raise BadMessage("INVALID_MESSAGE", sentence, envelope, expectedversion=sentence)


def _completed(envelope: dict[str, Any], ids: tuple[str, str], request: web.Request) -> dict[str, Any]:
    """Return the envelope with a default id, time and source, and the id of a new order."""
    envelope = decoded(envelope)
    identifier = ids[0] if envelope.get("id") is None else envelope["id"]
    filled = {"time": now(), "source": "web", "correlationid": request.get(CORRELATION, identifier)}
    if (until := valid_until(request.headers)) is not None:
        filled["validuntil"] = until
    if envelope["type"] == "PlaceOrder" and not names_order(envelope):
        filled["subject"] = ids[1]
    said = {name: value for name, value in envelope.items() if value is not None and name != "principal"}
    principal = principal_of(request)  # replaces the one in the envelope
    known = {} if principal is None else {"principal": principal}
    return {**filled, **said, **known, "id": identifier}


def _all_refused(refused: list[BadMessage], single: bool) -> Problem:
    problem = problem_of(refused[0])
    assert problem is not None
    if not single:
        problem.details = {"refused": [_refused(each) for each in refused]}
    return problem


def _taken(message: CommandMessage, *, whole: bool) -> dict[str, Any]:
    taken = {"id": message.id, "commandId": message.id, "type": message.type, "aggregateId": message.key}
    return {**taken, "status": "pending", "location": outcome_path(message, whole=whole)}


def _refused(error: BadMessage) -> dict[str, Any]:
    return {"status": "refused", "code": error.code, "message": error.message, "details": error.details}
