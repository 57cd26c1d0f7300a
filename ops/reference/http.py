"""The paths of the HTTP API and what its bodies may contain, as tables."""

from typing import Any

import orjson

from domain.address import Address
from ops.reference.markdown import code, listed, table
from streams.messages.models import model_of
from streams.messages.strict import IGNORED, fields_at
from web import PREFIX
from web.commands.routes import COMMAND_ROUTES
from web.documents.openapi import document
from web.queries.routes import QUERY_ROUTES

LONGEST_EXAMPLE = 80  # characters


def command_paths() -> str:
    """Return a row for each path that sends a command."""
    rows = [
        (
            f"`{route.method} {route.path}`",
            route.summary,
            route.command.__name__,
            _body(route.example),
            str(route.status),
        )
        for route in COMMAND_ROUTES
    ]
    return table((f"Below `{PREFIX}`", "Effect", "Command", "Example body", "Status"), rows)


def _body(example: Any) -> str:
    if example is None:
        return ""
    text = orjson.dumps(example).decode()
    return code(text) if len(text) < LONGEST_EXAMPLE else "[tutorial](../tutorial.md#place-an-order)"


def query_paths() -> str:
    """Return a row for each path that reads a read model."""
    rows = [
        (f"`GET {query.path}`", query.summary, listed(each["name"] for each in query.parameters()))
        for query in QUERY_ROUTES
    ]
    return table((f"Below `{PREFIX}`", "Answer", "Filters and order"), rows)


def other_paths() -> str:
    """Return a row for each other path of the OpenAPI document."""
    known = {("GET", PREFIX + query.path) for query in QUERY_ROUTES}
    known |= {(str(route.method), PREFIX + route.path) for route in COMMAND_ROUTES}
    rows = [
        (f"`{method.upper()} {path}`", operation["summary"], listed(_query_parameters(operation)))
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
        if (method.upper(), path) not in known
    ]
    return table(("Path", "Answer or effect", "Query parameters"), rows)


def _query_parameters(operation: Any) -> list[str]:
    return [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]


def addresses() -> str:
    """Return a row for each field of an address, with its other spellings."""
    rows = []
    for name, field in zip(fields_at(model_of(Address)), model_of(Address).model_fields.values(), strict=True):
        others = listed(other for other, meant in Address.spellings.items() if meant == name)
        required = "yes" if field.is_required() else "in most countries" if name == "zipCode" else ""
        rows.append((code(name), required, others))
    return table(("Field", "Required", "Other spellings"), rows)


def ignored_fields() -> str:
    """Return a row for each command with fields that are accepted and ignored."""
    bodies = {route.body.__name__: f"`{route.method} {route.path}`" for route in COMMAND_ROUTES if route.body}
    rows = [(bodies.get(name, code(name)), listed(sorted(fields))) for name, fields in IGNORED.items()]
    return table(("Command", "Ignored fields"), rows)
