"""The parameters of requests, for the OpenAPI document."""

import re
from collections.abc import Iterable

from .schemas import TEXT, Schema

PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"  # as `domain.message` has it
IDENTIFIER: Schema = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": PRINTABLE}
MAYBE_EMPTY: Schema = {"type": "string", "maxLength": 128, "pattern": PRINTABLE}
AGGREGATE: Schema = {"enum": ["order", "inventory"]}
MOMENT: Schema = {**TEXT, "examples": ["2026-11-23T10:00:00.000Z"]}
MOST_VALUES = 50  # values of one repeated parameter


def in_path(path: str) -> list[Schema]:
    """Return the ids in a path."""
    names = re.findall(r"{(\w+)}", path)
    schemas = {name: AGGREGATE if name == "aggregate" else IDENTIFIER for name in names}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name, schema in schemas.items()]


def any_of(name: str, sentence: str, values: Iterable[str] = ()) -> Schema:
    """Return a query parameter that may be repeated to allow several values; `values` are the possible ones."""
    items: Schema = {"enum": listed} if (listed := [str(value) for value in values]) else IDENTIFIER
    schema = {"type": "array", "items": items, "maxItems": MOST_VALUES}
    return {**in_query(name, f"{sentence}; repeat it for any of several", schema), "style": "form", "explode": True}


def in_query(name: str, sentence: str, schema: Schema = TEXT) -> Schema:
    """Return a query parameter."""
    return {"name": name, "in": "query", "description": sentence, "schema": schema}


def in_header(name: str, sentence: str, schema: Schema = TEXT) -> Schema:
    """Return a request header."""
    return {"name": name, "in": "header", "description": sentence, "schema": schema}


def header_of(*names: str) -> Schema:
    """Return the headers of an answer."""
    return {name: {"schema": TEXT} for name in names}


COMMAND_HEADERS = [
    in_header("Idempotency-Key",
              "For 7 days, a repeated request with the same key gets the same answer and changes nothing.",
              IDENTIFIER),
    in_header("If-Match", 'The allowed versions, as in the ETag: `"3"`, `"3", "4"`, or `*` for any; otherwise 412.',
              {"type": "string", "pattern": r'^(\*|"[0-9]{1,15}"(, "[0-9]{1,15}")*)$'}),
    in_header("If-None-Match", "`*` if the document must not exist; otherwise 412.", {"const": "*"}),
    in_header("Valid-Until", "A time; a command that is not decided before it is refused with `COMMAND_EXPIRED`.",
              MOMENT),
    in_header("Prefer", "`respond-async` returns a 202 immediately; `wait=2` waits for at most 2 seconds."),
    in_header("Correlation-Id", "Copied to every message the command causes; default: the command's id.", MAYBE_EMPTY),
]  # fmt: skip
ONCE = [
    each for each in COMMAND_HEADERS if not each["name"].startswith(("If-", "Valid-"))
]  # for resources without a version
CONSISTENCY = [
    in_header(
        "Consistency-Token", "From the answer to a command: the read waits until the read model includes the command."
    ),
    in_query(
        "on_timeout",
        "`stale` returns the document as it is instead of a 504, with `Consistency: stale`.",
        {"enum": ["stale"]},
    ),
]
GET_HEADERS = [
    in_header("If-None-Match", "ETags; 304 if the version is one of them."),
    in_header("If-Match", "ETags; 412 if the version is none of them."),
]
LISTING = [
    in_query("limit", "The size of the page.", {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}),
    in_query("cursor", "The `nextCursor` of the previous page."),
]
