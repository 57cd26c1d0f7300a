"""Error answers in the OpenAPI document, with every code they may carry."""

from web.errors import not_found
from web.queries.routes import QUERY_ROUTES
from web.statuses import REFUSALS
from web.statuses import codes as codes_of_all

from .schemas import TEXT, Schema, ref

OF_ALL = (400, 401, 403, 414, 417, 429, 431, 500, 503)
OF_BODIES = (*OF_ALL, 408, 413, 415)
OF_COMMANDS = (*OF_BODIES, 404, 409, 412, 422)
OF_QUERIES = (*OF_ALL, 404, 504)


def codes() -> dict[int, list[str]]:
    """Return the codes of each status, with those of read models that have no such document."""
    found = codes_of_all()
    kinds = {route.shape.name for route in QUERY_ROUTES if not route.many and route.ask is None}
    found[404] = sorted({*found[404], *map(not_found, kinds)})
    return found


def error_schema() -> Schema:
    """Return the schema of every error answer."""
    every = sorted({code for names in codes().values() for code in names})
    return {
        "type": "object",
        "required": ["success", "error", "message"],
        "properties": {
            "success": {"const": False},
            "error": {"enum": every, "description": "The code, for programs."},
            "message": {"type": "string", "description": "The error as a sentence, for people."},
            "details": {"type": "object", "description": "The data that the sentence is made of."},
            "errors": {"type": "object", "additionalProperties": TEXT, "description": "Field → what is wrong with it."},
        },
    }


def refusals(statuses: tuple[int, ...]) -> Schema:
    """Return references to the error answers of `statuses`."""
    return {
        str(status): {"$ref": f"#/components/responses/{REFUSALS[status].name}"} for status in sorted(set(statuses))
    }


def refusal(status: int) -> Schema:
    """Return the description of the error answers of a status."""
    sentence, code = REFUSALS[status].description, REFUSALS[status].example
    names = ", ".join(f"`{name}`" for name in codes()[status])
    example = {"success": False, "error": code, "message": sentence, "details": {}}
    return {
        "description": f"{sentence} Codes: {names}.",
        "content": {"application/json": {"schema": ref("Error"), "example": example}},
    }
