"""Query strings are checked against the OpenAPI document: an unknown parameter is refused, never ignored.

A parameter whose schema is an array may be repeated to allow several values; every other one may be sent once.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from aiohttp import web

from streams.messages.spelling import LONGEST, unknown

from . import PREFIX
from .documents.openapi import document
from .documents.schemas import Schema
from .errors import invalid

MOST_NAMED = 10  # parameters that one answer complains about
DOCUMENTS = ("/openapi.json", "/asyncapi.json")
Listed = Mapping[str, Schema]  # parameter → its schema


@lru_cache(maxsize=1)
def _listed() -> Mapping[tuple[str, str], Listed]:
    """Return the query parameters by (method, path); pages, probes and metrics accept any parameter."""
    found: dict[tuple[str, str], Listed] = {("GET", path): {} for path in DOCUMENTS}
    for path, operations in document()["paths"].items():
        for method, operation in operations.items() if path.startswith(PREFIX) else ():
            parameters = [each for each in operation.get("parameters", ()) if each["in"] == "query"]
            found[method.upper(), path] = {each["name"]: each["schema"] for each in parameters}
    return found


def check_query(request: web.Request) -> None:
    """Raise a 400 for unknown, repeated and empty parameters, and for values that a parameter cannot have."""
    resource = request.match_info.route.resource
    if not request.rel_url.raw_query_string or resource is None:
        return
    method = "GET" if request.method == "HEAD" else request.method
    if (listed := _listed().get((method, resource.canonical))) is None:
        return
    errors: dict[str, str] = {}
    for name in dict.fromkeys(request.query):
        if (problem := _problem(name, request.query.getall(name), listed)) is not None:
            errors[name[:LONGEST]] = problem
        if len(errors) == MOST_NAMED:
            break
    if errors:
        raise invalid(errors)


def _problem(name: str, values: list[str], listed: Listed) -> str | None:
    if (schema := listed.get(name)) is None:
        return unknown("parameter", name, listed)
    if schema.get("type") != "array":
        if len(values) > 1:
            return f"was sent {len(values)} times; send it once"
    elif len(values) > (most := schema["maxItems"]):
        return f"was sent {len(values)} times; send at most {most}"
    allowed = schema.get("items", schema).get("enum")
    for value in values:
        if not value:
            return "is empty; send a value, or leave it out"
        if allowed is not None and value not in allowed:
            return f"must be {_or(allowed)}, not {value!r:.80}"
    return None


def _or(allowed: list[Any]) -> str:
    return allowed[0] if len(allowed) == 1 else f"one of {', '.join(allowed)}"
