"""The paths below `/letters`, for the OpenAPI document."""

import re
from typing import Any

from parking.letter import KINDS

from .parameters import AGGREGATE, LISTING, ONCE, any_of, in_path
from .refusals import OF_ALL, OF_BODIES, refusals
from .schemas import Schema, listing, ref, success

ONE = "/letters/{aggregate}/{key}"
LETTER = "/letters/{letterId}"
SAYS_NO = (*OF_ALL, 404, 503)
CHANGES = (*OF_BODIES, 404, 409, 422)
FILTERS = [
    any_of("aggregate", "`order` or `inventory`", AGGREGATE["enum"]),
    any_of("kind", "instead: the newest of those that do not wait", [kind for kind in KINDS if kind != "parked"]),
]  # fmt: skip
DISCARD: Schema = {
    "type": "object",
    "required": ["reason"],
    "additionalProperties": False,
    "properties": {
        "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1000,
            "description": "Recorded, and told its sender.",
        },
        "commandId": {"type": "string", "description": "Which; the first if none is named."},
    },
}


def letter_paths() -> dict[str, dict[str, Any]]:
    """Return the operations, by path below the prefix."""
    return {
        "/letters": {
            "get": {
                **_operation("get", "/letters", "Orders and products whose commands are parked"),
                "parameters": [*FILTERS, *LISTING],
                "responses": {
                    "200": _answer("Found.", listing({"anyOf": [ref("ParkedKey"), ref("Letter")]})),
                    **refusals((400, 401, 500, 503)),
                },
            }
        },
        LETTER: {
            "get": {
                **_operation("get", LETTER, "One letter whole: the message as it came, and why it was not handled"),
                "parameters": in_path(LETTER),
                "responses": {"200": _answer("Found.", success(ref("Letter"))), **refusals(SAYS_NO)},
            }
        },
        ONE: {
            "get": {
                **_operation("get", ONE, "The parked commands of one, in their order; large values by reference"),
                "parameters": [*in_path(ONE), *LISTING],
                "responses": {"200": _answer("Found.", success(ref("ParkedLetters"))), **refusals(SAYS_NO)},
            }
        },
        f"{ONE}/retry": {"post": _change("retry", "Handle them again, up to the first that fails")},
        f"{ONE}/discard": {
            "post": {
                **_change("discard", "Give up one of them; those behind it wait for a retry"),
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": DISCARD, "example": {"reason": "sent by mistake"}}},
                },
            }
        },
    }


def _change(verb: str, summary: str) -> Schema:
    path = f"{ONE}/{verb}"
    done = _answer("Done.", success(ref("LettersHandled")))
    pending = _answer("Durable, not handled yet; Location says where.", success(ref("Pending")))
    return {
        **_operation("post", path, summary),
        "parameters": [*in_path(path), *ONCE],
        "responses": {"200": done, "202": pending, **refusals(CHANGES)},
    }


def _operation(method: str, path: str, summary: str) -> Schema:
    name = re.sub(r"\W+", "_", f"{method}{path}").strip("_")
    return {"summary": summary, "operationId": name, "tags": ["letters"]}


def _answer(sentence: str, schema: Schema) -> Schema:
    return {"description": sentence, "content": {"application/json": {"schema": schema}}}
