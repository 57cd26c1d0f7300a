"""The parameters of requests, for the OpenAPI document."""

import re
from collections.abc import Iterable

from .schemas import TEXT, Schema

PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"  # as `domain.message` has it
IDENTIFIER: Schema = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": PRINTABLE}
MAYBE_EMPTY: Schema = {"type": "string", "maxLength": 128, "pattern": PRINTABLE}
AGGREGATE: Schema = {"enum": ["order", "inventory"]}
MOMENT: Schema = {**TEXT, "examples": ["2026-11-23T10:00:00.000Z"]}
MOST_VALUES = 50  # of a repeated parameter


def in_path(path: str) -> list[Schema]:
    """Return the ids in a path."""
    names = re.findall(r"{(\w+)}", path)
    schemas = {name: AGGREGATE if name == "aggregate" else IDENTIFIER for name in names}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name, schema in schemas.items()]


def any_of(name: str, sentence: str, values: Iterable[str] = ()) -> Schema:
    """Return a query parameter that may be repeated: it asks for any of its values, of `values` if there are some."""
    items: Schema = {"enum": listed} if (listed := [str(value) for value in values]) else IDENTIFIER
    schema = {"type": "array", "items": items, "maxItems": MOST_VALUES}
    return {**in_query(name, f"{sentence}; repeated: any of them", schema), "style": "form", "explode": True}


def in_query(name: str, sentence: str, schema: Schema = TEXT) -> Schema:
    """Return a query parameter."""
    return {"name": name, "in": "query", "description": sentence, "schema": schema}


def in_header(name: str, sentence: str, schema: Schema = TEXT) -> Schema:
    """Return a request header."""
    return {"name": name, "in": "header", "description": sentence, "schema": schema}


def header_of(*names: str) -> Schema:
    """Return headers of an answer."""
    return {name: {"schema": TEXT} for name in names}


COMMAND_HEADERS = [
    in_header("Idempotency-Key",
              "Same key, same request: same answer, nothing done twice, for 7 days; after a 202 the outcome.",
              IDENTIFIER),
    in_header("If-Match", 'The versions it is for, as in the ETag: `"3"` or `"3", "4"`; `*`: it must exist. Else 412.',
              {"type": "string", "pattern": r'^(\*|"[0-9]{1,15}"(, "[0-9]{1,15}")*)$'}),
    in_header("If-None-Match", "`*`: it must not exist yet. Else 412.", {"const": "*"}),
    in_header("Prefer", "`respond-async`: 202 at once. `wait=2`: wait no longer than so many seconds."),
    in_header("Correlation-Id", "Carried along everything this causes; missing: the command's id.", MAYBE_EMPTY),
]  # fmt: skip
ONCE = [each for each in COMMAND_HEADERS if not each["name"].startswith("If-")]  # of what has no version
CONSISTENCY = [
    in_header("Consistency-Token", "From a command's answer: wait until the read model has got there."),
    in_query(
        "on_timeout", "`stale`: answer as it is instead of 504, marked `Consistency: stale`.", {"enum": ["stale"]}
    ),
]
GET_HEADERS = [
    in_header("If-None-Match", "The ETags seen; 304 when it is still at one of them."),
    in_header("If-Match", "The ETags wanted; 412 when it is at none of them."),
]
LISTING = [
    in_query("limit", "How many.", {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}),
    in_query("cursor", "`nextCursor` of the page before."),
]
