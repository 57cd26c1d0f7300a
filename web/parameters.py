"""The parameters of requests, for the OpenAPI document."""

import re

from .schemas import TEXT, Schema


def in_path(path: str) -> list[Schema]:
    """Return the ids in a path."""
    identifier = {"type": "string", "minLength": 1, "maxLength": 128}
    return [
        {"name": name, "in": "path", "required": True, "schema": identifier} for name in re.findall(r"{(\w+)}", path)
    ]


def in_query(name: str, sentence: str, schema: Schema = TEXT) -> Schema:
    """Return a query parameter."""
    return {"name": name, "in": "query", "description": sentence, "schema": schema}


def in_header(name: str, sentence: str) -> Schema:
    """Return a request header."""
    return {"name": name, "in": "header", "description": sentence, "schema": TEXT}


def header_of(*names: str) -> Schema:
    """Return headers of an answer."""
    return {name: {"schema": TEXT} for name in names}


COMMAND_HEADERS = [
    in_header("Idempotency-Key", "The same key and body again: the same answer, and nothing done twice. Kept 7 days."),
    in_header("If-Match", 'The version seen, as in the ETag: `"3"`. 412 when there is a newer one.'),
    in_header("Prefer", "`respond-async`: 202 at once. `wait=2`: wait no longer than so many seconds."),
    in_header("Correlation-Id", "Carried along everything this causes; missing: the command's id."),
]
CONSISTENCY = [
    in_header("Consistency-Token", "From a command's answer: wait until the read model has got there."),
    in_query("on_timeout", "`stale`: answer as it is instead of 504, marked `Consistency: stale`."),
]
GET_HEADERS = [in_header("If-None-Match", "The ETag seen; 304 when nothing has changed.")]
LISTING = [
    in_query("limit", "How many.", {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}),
    in_query("cursor", "`nextCursor` of the page before."),
]
