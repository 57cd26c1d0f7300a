"""The OpenAPI 3.1 document, made of the tables that route the requests, so that it cannot say something else."""

import re
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from inspect import getdoc
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from domain.message import MAX_TEXT
from streams.messages.models import model_of
from web.answers import raw_response
from web.commands.answering import PREFIX
from web.commands.handling import CommandRoute
from web.commands.outcomes import CHOICES
from web.commands.routes import COMMAND_ROUTES, ENVELOPE
from web.queries.routes import QUERY_ROUTES, QueryRoute

from .openapi_letters import letter_paths
from .openapi_overview import overview_paths
from .parameters import (
    AGGREGATE,
    COMMAND_HEADERS,
    CONSISTENCY,
    GET_HEADERS,
    LISTING,
    any_of,
    header_of,
    in_header,
    in_path,
    in_query,
)
from .refusals import OF_ALL, OF_BODIES, OF_COMMANDS, OF_QUERIES, REFUSALS, refusal, refusals
from .schemas import SCHEMAS, TEXT, Schema, listing, ref, success, with_ignored

DESCRIPTION = """Commands in, read models out.

Unknown fields and query parameters are refused with a 400 that names the closest known one; fields marked as accepted
and ignored are for clients of the previous system. Amounts are whole minor units of their currency, and `totalCost` is
the exact sum. An id of something new must not be mistaken for another one (`INVALID_ID`): it is not `.` or `..`, has no
blanks at its ends, no characters that cannot be seen, and is in Unicode's form NFC."""
LIVE_FILTERS = [
    any_of("types", "only these, also separated by commas: OrderPlaced,StockReserved …"),
    any_of("aggregate", "`order` or `inventory`", AGGREGATE["enum"]),
    any_of("subject", "the id of one order or product; of an order also its stock's events"),
    any_of("customerId", "whose orders"),
    in_query("recent", "first this many of the newest events that are still in memory",
             {"type": "integer", "minimum": 0, "maximum": 200, "default": 0}),
    in_query("lastEventId", "as the header Last-Event-ID, for clients that cannot set headers"),
]  # fmt: skip
REASON = in_query("reason", "Of the body, for clients whose DELETE has none; both: the same.",
                  {"type": "string", "maxLength": MAX_TEXT})  # fmt: skip
LIVE_EXAMPLE = 'id: 12.5-33.2\nevent: OrderHeld\ndata: {"type":"OrderHeld","subject":"order-1001", …}\n\n'


async def openapi(request: web.Request) -> web.Response:
    """Answer the document."""
    return raw_response(_encoded())


async def openapi_yaml(request: web.Request) -> web.Response:
    """Answer the document to clients that expect YAML: JSON is YAML."""
    body = orjson.dumps(document(), option=orjson.OPT_INDENT_2)
    return web.Response(body=body, content_type="application/yaml", charset="utf-8")


@lru_cache(maxsize=1)
def _encoded() -> bytes:
    return orjson.dumps(document())


def document() -> Schema:
    """Return the OpenAPI document."""
    models, schemas = _models()
    paths: dict[str, dict[str, Any]] = {}
    for command in COMMAND_ROUTES:
        paths.setdefault(PREFIX + command.path, {})[command.method.lower()] = _command(command, models)
    for query in QUERY_ROUTES:
        paths.setdefault(PREFIX + query.path, {})["get"] = _query(query)
    own = {**letter_paths(), **overview_paths()}
    paths |= {PREFIX + path: operations for path, operations in own.items()}
    paths[f"{PREFIX}/events"] = {"get": _live_events()}
    paths[f"{PREFIX}/commands"] = {"post": _batch()}
    paths[f"{PREFIX}/commands/{{commandId}}"] = {"get": _outcome()}
    paths[f"{PREFIX}/projections"] = {"get": _projections()}
    checks = {"/livez": "Does it live", "/readyz": "Is it ready", "/health": "Is it ready, `UP` or `DOWN`"}
    for path, summary in checks.items():
        paths[path] = {"get": _health(path, summary)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Order fulfilment",
            "version": service_version(),
            "description": DESCRIPTION,
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas, **SCHEMAS},
            "responses": {name: refusal(status) for status, (name, _, _) in REFUSALS.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _health(path: str, summary: str) -> Schema:
    answers = {"200": {"description": "Yes."}, "503": {"description": "No."}}
    return {**_operation("GET", path, summary, "operations"), "security": [], "responses": answers}


def service_version() -> str:
    """Return the version of this distribution."""
    """Return the version of this distribution."""
    try:
        return version("order-fulfillment")
    except PackageNotFoundError:
        return "0"


def _models() -> tuple[dict[Any, Schema], dict[str, Schema]]:
    used = [(_model(route), "validation") for route in COMMAND_ROUTES]
    by_model, found = models_json_schema(used, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    return {model: schema for (model, _), schema in by_model.items()}, with_ignored(found["$defs"])


def _model(route: CommandRoute) -> type[BaseModel]:
    return route.body or model_of(route.command)


def _command(route: CommandRoute, models: dict[Any, Schema]) -> Schema:
    operation = _operation(route.method, route.path, route.summary, tag_of(route.path))
    operation["description"] = getdoc(route.command)
    reason = [REASON] if route.method == "DELETE" and "reason" in route.command.__struct_fields__ else []
    operation["parameters"] = [*in_path(route.path), *reason, *COMMAND_HEADERS]
    if route.example is not None:
        content = {"schema": _without_path_ids(route, models), "example": route.example}
        required = route.method != "DELETE" and route.example != {}
        operation["requestBody"] = {"required": required, "content": {"application/json": content}}
    done = _answer("Decided: it is in the log.", success(ref("Decided")))
    done["headers"] = header_of("Consistency-Token", "Correlation-Id")
    pending = _answer("Durable, not decided yet; Location says where.", success(ref("Pending")))
    pending["headers"] = header_of("Location")
    operation["responses"] = {str(route.status): done, "202": pending, **refusals(OF_COMMANDS)}
    return operation


def _without_path_ids(route: CommandRoute, models: dict[Any, Schema]) -> Schema:
    """Return the body's schema; ids that are in the path are not asked for again."""
    model = _model(route)
    ids = set(re.findall(r"{(\w+)}", route.path)[1:])
    if not ids:
        return models[model]
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    schema["properties"] = {name: each for name, each in schema["properties"].items() if name not in ids}
    schema["required"] = [name for name in schema.get("required", []) if name not in ids]
    return schema


def _query(route: QueryRoute) -> Schema:
    operation = _operation("GET", route.path, route.summary, tag_of(route.path))
    lists = LISTING if route.many else [] if route.ask else GET_HEADERS
    operation["parameters"] = [*in_path(route.path), *route.parameters(), *lists, *CONSISTENCY]
    schema = listing(ref(route.schema)) if route.many else success(ref(route.schema))
    operation["responses"] = {"200": _answer("Found.", schema), **refusals(OF_QUERIES)}
    if not route.many and not route.ask:
        operation["responses"] |= {"304": {"description": "It is as If-None-Match says."}, **refusals((412,))}
    return operation


def _batch() -> Schema:
    operation = _operation("POST", "/commands", "Send commands as to Kafka: one, an array, or a line each", "commands")
    operation["description"] = (
        "CloudEvents in structured mode; or one in binary mode, with its attributes in headers (`ce-type`, `ce-id`, "
        "`ce-source`, `ce-subject` …, percent-encoded) and its data as the body."
    )
    envelope: Schema = {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}
    either = {"oneOf": [envelope, {"type": "array", "items": envelope}]}
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {"schema": either, "example": ENVELOPE},
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    }
    operation["responses"] = {"202": _answer("Durable.", success({})), **refusals((*OF_BODIES, 409, 422))}
    operation["parameters"] = [each for each in COMMAND_HEADERS if each["name"] != "Prefer"]
    return operation


def _outcome() -> Schema:
    operation = _operation("GET", "/commands/{commandId}", "What became of a command", "commands")
    operation["parameters"] = [*in_path("/commands/{commandId}"), *CHOICES]
    known = _answer("Known.", success(ref("Outcome")))
    operation["responses"] = {"200": known, **refusals((*OF_ALL, 404, 409, 503))}
    return operation


def tag_of(path: str) -> str:
    """Return the group a path below the prefix is shown in: its first part."""
    return path.split("/")[1]


def _live_events() -> Schema:
    operation = _operation("GET", "/events", "What happens, as it happens (server-sent events)", "events")
    last = in_header("Last-Event-ID", "The id of the last event seen: go on behind it.")
    operation["parameters"] = [*LIVE_FILTERS, last]
    stream = {"text/event-stream": {"schema": TEXT, "example": LIVE_EXAMPLE}}
    operation["responses"] = {"200": {"description": "It goes on until somebody hangs up.", "content": stream}}
    operation["responses"] |= refusals((*OF_ALL, 503))
    return operation


def _projections() -> Schema:
    operation = _operation("GET", "/projections", "The versions of the read models", "operations")
    operation["responses"] = {"200": _answer("Found.", listing(ref("Projection"))), **refusals((*OF_ALL, 503))}
    return operation


def _operation(method: str, path: str, summary: str, tag: str) -> Schema:
    name = re.sub(r"\W+", "_", f"{method.lower()}{path}").strip("_")
    return {"summary": summary, "operationId": name, "tags": [tag]}


def _answer(sentence: str, schema: Schema) -> Schema:
    return {"description": sentence, "content": {"application/json": {"schema": schema}}}
