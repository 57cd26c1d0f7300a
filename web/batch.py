"""`POST /commands`: envelopes as they would be sent to Kafka, one, an array, or a line each."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from aiohttp import web

from domain.message import Command
from streams.cloudevents import by_headers, decoded
from streams.codec import INVENTORY_COMMANDS, ORDER_COMMANDS, BadMessage, Position, decode_command, names_order
from streams.messages import CommandMessage, new_id, now

from .answers import answer
from .decided import PREFIX
from .errors import Problem, problem_of
from .requests import CORRELATION, JSON_TYPES, parse, require_type
from .services import SERVICES, Services

LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines")
TYPES = (*JSON_TYPES, *LINES)
TAKEN: Mapping[str, tuple[Mapping[str, type[Command]], str]] = {
    **dict.fromkeys(ORDER_COMMANDS, (ORDER_COMMANDS, "orderId")),
    **dict.fromkeys(INVENTORY_COMMANDS, (INVENTORY_COMMANDS, "productId")),
}  # type → the types of its topic, and where its data has the aggregate's id
NOWHERE = Position("http", 0, 0, 0.0, None)  # what came over HTTP has an id and a time of its own


async def send_commands(request: web.Request) -> web.Response:
    """Make every valid command durable; answer an id for each, or the reason it was refused. Nothing is waited for."""
    require_type(request, TYPES)
    if any(name.lower().startswith("ce-") for name in request.headers):
        envelopes, single = [_binary(await request.read(), request)], True
    else:
        envelopes, single = _envelopes(await request.read(), request.content_type in LINES)
    services = request.app[SERVICES]
    read = [await _sendable(services, _read(envelope, request)) for envelope in envelopes]
    messages = [each for each in read if isinstance(each, CommandMessage)]
    if not messages:
        raise _all_refused([each for each in read if isinstance(each, BadMessage)], single)
    await services.gateway.send(messages)
    for message in messages:
        services.accepted.add(message.id)
    data = [_taken(each) if isinstance(each, CommandMessage) else _refused(each) for each in read]
    headers = {"Location": _location(messages[0])} if single else None
    return answer(data[0] if single else data, 202, headers)


async def _sendable(services: Services, read: CommandMessage | BadMessage) -> CommandMessage | BadMessage:
    """Return what was read; refused where it is known to be larger than Kafka takes."""
    if isinstance(read, CommandMessage) and (refusal := await services.gateway.too_large(read)) is not None:
        return BadMessage("MESSAGE_TOO_LARGE", str(refusal))
    return read


def _envelopes(body: bytes, lines: bool) -> tuple[list[Any], bool]:
    """Return the envelopes, and whether it was one alone; bad JSON on one of several lines refuses that line only."""
    if not lines:
        try:
            parsed = orjson.loads(body)
            return (parsed, False) if isinstance(parsed, list) and parsed else ([parsed], True)
        except orjson.JSONDecodeError:
            if b"\n" not in body.strip():
                parse(body)
    found = [_line(line) for line in body.splitlines() if line.strip()]
    if not found:
        raise Problem(400, "NOT_JSON", "the body is empty: send one envelope, a JSON array, or a line each")
    return found, False


def _binary(body: bytes, request: web.Request) -> Any:
    """Return the envelope of a request in CloudEvents' binary mode: attributes in `ce-…` headers, percent-encoded."""
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


def _read(envelope: Any, request: web.Request) -> CommandMessage | BadMessage:
    if isinstance(envelope, BadMessage):
        return envelope
    if not isinstance(envelope, dict):
        return BadMessage("INVALID_MESSAGE", "a command is a JSON object with type and data")
    name = envelope.get("type")
    if not isinstance(name, str) or name not in TAKEN:
        return BadMessage("UNKNOWN_TYPE", f"unknown command type {name!r}: known are {', '.join(TAKEN)}")
    types, field = TAKEN[name]
    try:
        return decode_command(orjson.dumps(_completed(envelope, request)), NOWHERE, types, field)
    except BadMessage as error:
        return error


def _completed(envelope: dict[str, Any], request: web.Request) -> dict[str, Any]:
    """Return the envelope with what a Kafka producer would leave to the position, and a new order's id."""
    envelope = decoded(envelope)
    identifier = new_id() if envelope.get("id") is None else envelope["id"]
    filled = {"time": now(), "source": "web", "correlationid": request.get(CORRELATION, identifier)}
    if envelope["type"] == "PlaceOrder" and not names_order(envelope):
        filled["subject"] = new_id()
    return {**filled, **{name: value for name, value in envelope.items() if value is not None}, "id": identifier}


def _all_refused(refused: list[BadMessage], single: bool) -> Problem:
    problem = problem_of(refused[0])
    assert problem is not None
    if not single:
        problem.details = {"refused": [_refused(each) for each in refused]}
    return problem


def _location(message: CommandMessage) -> str:
    return f"{PREFIX}/commands/{message.id}"


def _taken(message: CommandMessage) -> dict[str, Any]:
    taken = {"id": message.id, "commandId": message.id, "type": message.type, "aggregateId": message.key}
    return {**taken, "status": "pending", "location": _location(message)}


def _refused(error: BadMessage) -> dict[str, Any]:
    return {"status": "refused", "code": error.code, "message": error.message, "details": error.details}
