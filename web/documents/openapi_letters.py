"""The paths below `/letters` in the OpenAPI document."""

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
    any_of("aggregate", "letters of orders or of products", AGGREGATE["enum"]),
    any_of("kind", "instead of parked commands, the newest letters of this kind",
           [kind for kind in KINDS if kind != "parked"]),
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
            "description": "Kept with the letter, and part of the rejection that the sender gets.",
        },
        "commandId": {"type": "string", "description": "The command to discard; by default the first one."},
    },
}


def letter_paths() -> dict[str, dict[str, Any]]:
    """Return the operations, by path below the prefix."""
    return {
        "/letters": {
            "get": {
                **_operation("get", "/letters", "List the orders and products whose commands are parked"),
                "parameters": [*FILTERS, *LISTING],
                "responses": {
                    "200": _answer("The result.", listing({"anyOf": [ref("ParkedKey"), ref("Letter")]})),
                    **refusals((*OF_ALL, 503)),
                },
            }
        },
        LETTER: {
            "get": {
                **_operation("get", LETTER, "Get a letter: the message as received, and why it was not handled"),
                "parameters": in_path(LETTER),
                "responses": {"200": _answer("The result.", success(ref("Letter"))), **refusals(SAYS_NO)},
            }
        },
        ONE: {
            "get": {
                **_operation("get", ONE, "List the parked commands of an order or product, oldest first"),
                "parameters": [*in_path(ONE), *LISTING],
                "responses": {"200": _answer("The result.", success(ref("ParkedLetters"))), **refusals(SAYS_NO)},
            }
        },
        f"{ONE}/retry": {"post": _change("retry", "Retry the parked commands, up to the first that fails")},
        f"{ONE}/discard": {
            "post": {
                **_change("discard", "Discard a parked command; the commands after it wait for a retry"),
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
    pending = _answer(
        "The request is in Kafka but not handled yet; Location is the path of its outcome.", success(ref("Pending"))
    )
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
