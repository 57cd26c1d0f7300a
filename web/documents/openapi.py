"""The OpenAPI 3.1 document, generated from the tables that route the requests, so that it cannot contradict them."""

import re
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from inspect import getdoc
from typing import Any

import orjson
from aiohttp import web
from orjson import Fragment
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from domain.message import MAX_TEXT
from streams.access.principals import MEANINGS
from streams.messages.models import model_of
from web import PREFIX
from web.answers import Answer
from web.commands.handling import CommandRoute
from web.commands.outcomes import CHOICES
from web.commands.routes import COMMAND_ROUTES, ENVELOPE
from web.queries.handling import QueryRoute
from web.queries.preview import EXAMPLE, PreviewRequest
from web.queries.routes import QUERY_ROUTES
from web.scopes import scopes_of
from web.statuses import REFUSALS

from .openapi_files import file_paths
from .openapi_letters import letter_paths
from .openapi_overview import overview_paths
from .openapi_webhooks import WEBHOOK_SCHEMAS, webhook_paths
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
from .refusals import OF_ALL, OF_BODIES, OF_COMMANDS, OF_QUERIES, error_schema, refusal, refusals
from .schemas import SCHEMAS, TEXT, Schema, listing, ref, success, with_ignored

DESCRIPTION = """Send commands, and read the models that they change.

An unknown field or query parameter is refused with a 400 that suggests the closest known one. Fields marked as accepted
and ignored exist for clients of the previous system. An amount must be a whole number of its currency's minor units,
and `totalCost` must be the exact sum. The id of something new must be distinguishable from any other (otherwise
`INVALID_ID`): it must not be `.` or `..`, must have no spaces at its ends and no invisible characters, and must be in
Unicode's normalization form NFC."""
CREDENTIALS = "Required unless the API is on loopback. An operation lists the scopes of which a token needs one: " + (
    "; ".join(f"`{scope}` ({meaning})" for scope, meaning in MEANINGS.items())
)
STREAM_FILTERS = [
    any_of("types", "events of these types, which may be separated by commas: OrderPlaced,StockReserved"),
    any_of("aggregate", "events of orders or of stock", AGGREGATE["enum"]),
    any_of("subject", "events of this order, with those of its stock, or of this product"),
    any_of("customerId", "events of this customer's orders"),
    in_query("recent", "start with this many of the newest events in memory",
             {"type": "integer", "minimum": 0, "maximum": 200, "default": 0}),
    in_query("lastEventId", "the same as the header Last-Event-ID, for clients that cannot set headers"),
]  # fmt: skip
REASON = in_query("reason", "The same as `reason` in the body, for clients that cannot send a body with DELETE.",
                  {"type": "string", "maxLength": MAX_TEXT})  # fmt: skip
STREAM_EXAMPLE = 'id: 12.5-33.2\nevent: OrderHeld\ndata: {"type":"OrderHeld","subject":"order-1001", …}\n\n'


async def openapi(request: web.Request) -> Answer:
    """Answer with the document."""
    return Answer(_encoded())


async def openapi_yaml(request: web.Request) -> web.Response:
    """Answer with the document for clients that expect YAML, of which JSON is a subset."""
    body = orjson.dumps(document(), option=orjson.OPT_INDENT_2)
    return web.Response(body=body, content_type="application/yaml", charset="utf-8")


@lru_cache(maxsize=1)
def _encoded() -> Fragment:
    return Fragment(orjson.dumps(document()))


def document() -> Schema:
    """Return the OpenAPI document."""
    models, schemas = _models()
    shapes = {route.shape.name: route.shape.schema for route in QUERY_ROUTES}
    paths: dict[str, dict[str, Any]] = {}
    for command in COMMAND_ROUTES:
        paths.setdefault(PREFIX + command.path, {})[command.method.lower()] = _command(command, models)
    for query in QUERY_ROUTES:
        paths.setdefault(PREFIX + query.path, {})["get"] = _query(query)
    own = {**letter_paths(), **overview_paths(), **file_paths(), **webhook_paths()}
    paths |= {PREFIX + path: operations for path, operations in own.items()}
    paths[f"{PREFIX}/events"] = {"get": _event_stream()}
    paths[f"{PREFIX}/allocations/preview"] = {"post": _preview(models)}
    paths[f"{PREFIX}/commands"] = {"post": _batch()}
    paths[f"{PREFIX}/commands/{{commandId}}"] = {"get": _outcome()}
    paths[f"{PREFIX}/projections"] = {"get": _projections()}
    paths[f"{PREFIX}/operator-actions"] = {"get": _actions()}
    checks = {
        "/livez": "Report whether the process runs",
        "/readyz": "Report whether the process is ready",
        "/health": "Report readiness as `UP` or `DOWN`",
    }
    for path, operations in paths.items():
        for method, operation in operations.items():
            operation["security"] = [{}, *({"token": [scope]} for scope in scopes_of(method.upper(), path))]
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
        "paths": paths,
        "components": {
            "schemas": {**schemas, **SCHEMAS, **WEBHOOK_SCHEMAS, **shapes, "Error": error_schema()},
            "responses": {each.name: refusal(status) for status, each in REFUSALS.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": CREDENTIALS}},
        },
    }


def _health(path: str, summary: str) -> Schema:
    answers = {"200": {"description": "Yes."}, "503": {"description": "No; the body says why."}}
    return {**_operation("GET", path, summary, "operations"), "security": [], "responses": answers}


def service_version() -> str:
    """Return the version of this distribution."""
    try:
        return version("order-fulfillment")
    except PackageNotFoundError:
        return "0"


def _models() -> tuple[dict[Any, Schema], dict[str, Schema]]:
    used = [(each, "validation") for each in (*map(_model, COMMAND_ROUTES), model_of(PreviewRequest))]
    by_model, found = models_json_schema(used, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    return {model: schema for (model, _), schema in by_model.items()}, with_ignored(found["$defs"])


def _model(route: CommandRoute) -> type[BaseModel]:
    return model_of(route.body or route.command)


def _command(route: CommandRoute, models: dict[Any, Schema]) -> Schema:
    operation = _operation(route.method, route.path, route.summary, tag_of(route.path))
    operation["description"] = getdoc(route.command)
    reason = [REASON] if route.method == "DELETE" and "reason" in route.command.__struct_fields__ else []
    operation["parameters"] = [*in_path(route.path), *reason, *COMMAND_HEADERS]
    if route.example is not None:
        content = {"schema": _without_path_ids(route, models), "example": route.example}
        required = route.method != "DELETE" and route.example != {}
        operation["requestBody"] = {"required": required, "content": {"application/json": content}}
    done = _answer("The command was accepted; its events are in Kafka.", success(ref("Decided")))
    done["headers"] = header_of("Consistency-Token", "Correlation-Id")
    pending = _answer(
        "The command is in Kafka but not decided yet; Location is the path of its outcome.", success(ref("Pending"))
    )
    pending["headers"] = header_of("Location")
    operation["responses"] = {str(route.status): done, "202": pending, **refusals(OF_COMMANDS)}
    return operation


def _without_path_ids(route: CommandRoute, models: dict[Any, Schema]) -> Schema:
    """Return the schema of the body, without the ids that are in the path."""
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
    schema = listing(ref(route.shape.name)) if route.many else success(ref(route.shape.name))
    says_no = (*OF_QUERIES, 422) if route.many and route.past else OF_QUERIES
    operation["responses"] = {"200": _answer("The result.", schema), **refusals(says_no)}
    if not route.many and not route.ask:
        operation["responses"] |= {
            "304": {"description": "If-None-Match names the current version."},
            **refusals((412,)),
        }
    return operation


def _preview(models: dict[Any, Schema]) -> Schema:
    operation = _operation("POST", "/allocations/preview", "Show where an order would get its units from", "inventory")
    operation["description"] = "Nothing is reserved: other orders may get the units first."
    content = {"schema": models[model_of(PreviewRequest)], "example": EXAMPLE}
    operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    operation["responses"] = {"200": _answer("The result.", success(ref("Preview"))), **refusals((*OF_BODIES, 503))}
    return operation


def _batch() -> Schema:
    operation = _operation("POST", "/commands", "Send commands as on Kafka: one, an array, or one per line", "commands")
    operation["description"] = (
        "CloudEvents in structured mode, or a single one in binary mode, whose attributes are percent-encoded headers "
        "(`ce-type`, `ce-id`, `ce-source`, `ce-subject` …) and whose data is the body."
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
    operation["responses"] = {"202": _answer("In Kafka.", success({})), **refusals((*OF_BODIES, 409, 422))}
    operation["parameters"] = [each for each in COMMAND_HEADERS if each["name"] != "Prefer"]
    return operation


def _outcome() -> Schema:
    operation = _operation("GET", "/commands/{commandId}", "Get the outcome of a command", "commands")
    operation["parameters"] = [*in_path("/commands/{commandId}"), *CHOICES]
    known = _answer("The outcome.", success(ref("Outcome")))
    operation["responses"] = {"200": known, **refusals((*OF_ALL, 404, 409, 503))}
    return operation


def tag_of(path: str) -> str:
    """Return the group in which a path is listed: its first part."""
    return path.split("/")[1]


def _event_stream() -> Schema:
    operation = _operation("GET", "/events", "Stream events as they happen (server-sent events)", "events")
    last = in_header("Last-Event-ID", "The id of the last event received; the stream continues after it.")
    operation["parameters"] = [*STREAM_FILTERS, last]
    stream = {"text/event-stream": {"schema": TEXT, "example": STREAM_EXAMPLE}}
    operation["responses"] = {
        "200": {"description": "The stream lasts until the client disconnects.", "content": stream}
    }
    operation["responses"] |= refusals((*OF_ALL, 503))
    return operation


def _projections() -> Schema:
    operation = _operation("GET", "/projections", "List the versions of the read models", "operations")
    operation["responses"] = {"200": _answer("The result.", listing(ref("Projection"))), **refusals((*OF_ALL, 503))}
    return operation


def _actions() -> Schema:
    operation = _operation("GET", "/operator-actions", "List what operators did, newest first", "operations")
    operation["parameters"] = LISTING
    operation["responses"] = {"200": _answer("The result.", listing(ref("OperatorAction"))), **refusals(OF_ALL)}
    return operation


def _operation(method: str, path: str, summary: str, tag: str) -> Schema:
    name = re.sub(r"\W+", "_", f"{method.lower()}{path}").strip("_")
    return {"summary": summary, "operationId": name, "tags": [tag]}


def _answer(sentence: str, schema: Schema) -> Schema:
    return {"description": sentence, "content": {"application/json": {"schema": schema}}}
