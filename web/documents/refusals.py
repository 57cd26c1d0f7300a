"""The answers that say no, for the OpenAPI document."""

from .codes import codes
from .schemas import Schema, ref

REFUSALS = {
    400: ("ValidationFailed", "Something in the request is wrong; `errors` names the fields.", "VALIDATION_FAILED"),
    401: ("Unauthorized", "The bearer token is missing or wrong.", "UNAUTHORIZED"),
    404: ("NotFound", "There is no such thing.", "ORDER_NOT_FOUND"),
    409: ("Conflict", "It does not fit what is there now.", "ALLOCATION_PENDING"),
    412: ("Stale", "It is not at a version that If-Match or If-None-Match allows.", "STALE_VERSION"),
    408: ("TooSlow", "The body did not arrive in time.", "REQUEST_TIMEOUT"),
    413: ("TooLarge", "The body is too large.", "BODY_TOO_LARGE"),
    414: ("AddressTooLong", "The address is too long.", "URI_TOO_LONG"),
    415: ("NotJson", "The body is not JSON, or coded in a way that is not read.", "UNSUPPORTED_MEDIA_TYPE"),
    417: ("Unexpected", "Of Expect, only 100-continue is known.", "EXPECTATION_FAILED"),
    422: ("Refused", "The request is understood, and the rules say no.", "INVALID_STATUS_TRANSITION"),
    431: ("HeadersTooLarge", "A header is too long.", "HEADERS_TOO_LARGE"),
    500: ("Fault", "A fault of ours, logged under the Correlation-Id.", "INTERNAL_ERROR"),
    503: ("Unavailable", "Kafka or MongoDB is away; try again after Retry-After.", "KAFKA_UNAVAILABLE"),
    504: ("NotThereYet", "The read model did not get to the token in time.", "CONSISTENCY_TIMEOUT"),
}
OF_ALL = (400, 401, 414, 417, 431, 500)
OF_BODIES = (*OF_ALL, 408, 413, 415, 503)
OF_COMMANDS = (*OF_BODIES, 404, 409, 412, 422)
OF_QUERIES = (*OF_ALL, 404, 503, 504)


def refusals(statuses: tuple[int, ...]) -> Schema:
    """Return references to the answers of `statuses`."""
    return {str(status): {"$ref": f"#/components/responses/{REFUSALS[status][0]}"} for status in sorted(statuses)}


def refusal(status: int) -> Schema:
    """Return the description of an answer that says no, with every code it may carry."""
    _, sentence, code = REFUSALS[status]
    names = ", ".join(f"`{name}`" for name in codes()[status])
    example = {"success": False, "error": code, "message": sentence, "details": {}}
    return {
        "description": f"{sentence} Codes: {names}.",
        "content": {"application/json": {"schema": ref("Error"), "example": example}},
    }
