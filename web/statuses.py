"""The HTTP status of every error code: the only table of them, for answers and for the documents.

A rejection has the status of its class, or of the nearest class above it in the tree of `domain.errors`. Every other
code is listed under its status.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from domain.errors import Conflict, Invalid, InvalidStatusTransition, NotFound, Rejection, StaleVersion


class Refusal(NamedTuple):
    """The description of one status; `codes` has its codes, except the codes of the domain's rejections."""

    name: str
    description: str
    example: str  # a code
    codes: tuple[str, ...] = ()


REJECTIONS: Mapping[type[Rejection], int] = {
    Rejection: 422,
    NotFound: 404,
    Invalid: 400,
    InvalidStatusTransition: 422,
    Conflict: 409,
    StaleVersion: 412,
}
REFUSALS: Mapping[int, Refusal] = {
    400: Refusal(
        "ValidationFailed",
        "The request is invalid; `errors` names the fields.",
        "VALIDATION_FAILED",
        ("VALIDATION_FAILED", "NOT_JSON", "UNKNOWN_TYPE", "MISSING_KEY", "INVALID_MESSAGE", "INVALID_COMMAND",
         "BAD_REQUEST", "UNREADABLE_FILE"),
    ),
    401: Refusal("Unauthorized", "The bearer token is missing or not valid.", "UNAUTHORIZED", ("UNAUTHORIZED",)),
    403: Refusal(
        "Forbidden",
        "The credentials do not allow this, or the page of another site sent it.",
        "MISSING_SCOPE",
        ("FOREIGN_HOST", "FOREIGN_ORIGIN", "MISSING_SCOPE"),
    ),
    404: Refusal(
        "NotFound",
        "The path names a resource that does not exist.",
        "ORDER_NOT_FOUND",
        ("NOT_FOUND", "COMMAND_NOT_FOUND", "LETTER_NOT_FOUND", "MESSAGE_NOT_FOUND", "VERSION_NOT_FOUND",
         "WEBHOOK_NOT_FOUND"),
    ),
    405: Refusal(
        "MethodNotAllowed", "The path does not support this method.", "METHOD_NOT_ALLOWED", ("METHOD_NOT_ALLOWED",)
    ),
    408: Refusal("TooSlow", "The body did not arrive in time.", "REQUEST_TIMEOUT", ("REQUEST_TIMEOUT",)),
    409: Refusal(
        "Conflict",
        "The request conflicts with the current state.",
        "ALLOCATION_PENDING",
        ("AMBIGUOUS_COMMAND_ID", "IDEMPOTENCY_KEY_IN_FLIGHT", "IMPORT_IN_PROGRESS", "TOO_MANY_WEBHOOKS",
         "WEBHOOK_CHANGED"),
    ),
    412: Refusal("Stale", "The version is not one that If-Match or If-None-Match allows.", "STALE_VERSION"),
    413: Refusal(
        "TooLarge", "The body is too large.", "BODY_TOO_LARGE", ("BODY_TOO_LARGE", "MESSAGE_TOO_LARGE")
    ),
    414: Refusal("AddressTooLong", "The URL is too long.", "URI_TOO_LONG", ("URI_TOO_LONG",)),
    415: Refusal(
        "NotJson",
        "The body is not JSON, or has an unsupported encoding.",
        "UNSUPPORTED_MEDIA_TYPE",
        ("UNSUPPORTED_MEDIA_TYPE",),
    ),
    417: Refusal(
        "Unexpected", "The Expect header is not 100-continue.", "EXPECTATION_FAILED", ("EXPECTATION_FAILED",)
    ),
    422: Refusal(
        "Refused",
        "The request is valid, but the current state or a rule forbids it.",
        "INVALID_STATUS_TRANSITION",
        ("AS_OF_TOO_FAR", "IDEMPOTENCY_KEY_REUSED", "DISCARDED", "INVALID_LINES", "REFUSED_BY_KAFKA"),
    ),
    429: Refusal(
        "TooMany",
        "Too many commands, files or invalid tokens; retry after the seconds in Retry-After.",
        "QUOTA_EXCEEDED",
        ("QUOTA_EXCEEDED", "TOO_MANY_ATTEMPTS", "TOO_MANY_IMPORTS"),
    ),
    431: Refusal("HeadersTooLarge", "A header is too long.", "HEADERS_TOO_LARGE", ("HEADERS_TOO_LARGE",)),
    500: Refusal(
        "Fault",
        "The service failed; the error is logged under the Correlation-Id.",
        "INTERNAL_ERROR",
        ("INTERNAL_ERROR",),
    ),
    501: Refusal(
        "NotInstalled",
        "This installation lacks an optional package.",
        "PARQUET_NOT_INSTALLED",
        ("PARQUET_NOT_INSTALLED",),
    ),
    503: Refusal(
        "Unavailable",
        "Kafka, MongoDB or the issuer of tokens is unreachable, or an archive is being imported; retry after the "
        "seconds in Retry-After.",
        "KAFKA_UNAVAILABLE",
        ("KAFKA_UNAVAILABLE", "MONGODB_UNAVAILABLE", "READ_MODEL_BEHIND", "READ_MODEL_NOT_DEPLOYED",
         "ISSUER_UNAVAILABLE", "IMPORT_UNFINISHED"),
    ),
    504: Refusal(
        "NotThereYet",
        "The read model did not reach the version of the Consistency-Token in time.",
        "CONSISTENCY_TIMEOUT",
        ("CONSISTENCY_TIMEOUT",),
    ),
}  # fmt: skip


def status_of(code: str) -> int:
    """Return the status of an error code; 422 for a rejection that only newer code knows."""
    return _BY_CODE.get(code, REJECTIONS[Rejection])


def status_of_kind(kind: type[Rejection]) -> int:
    """Return the status of a class of rejections."""
    return next(REJECTIONS[each] for each in kind.__mro__ if each in REJECTIONS)


def codes() -> dict[int, list[str]]:
    """Return the codes of each status, sorted."""
    found: dict[int, list[str]] = {}
    for code, status in sorted(_BY_CODE.items()):
        found.setdefault(status, []).append(code)
    return dict(sorted(found.items()))


def _leaves(kind: type[Rejection]) -> Iterator[type[Rejection]]:
    """Yield the classes that are raised: those without subclasses."""
    below = kind.__subclasses__()
    if not below:
        yield kind
    for each in below:
        yield from _leaves(each)


_BY_CODE: Mapping[str, int] = {
    **{kind.code: status_of_kind(kind) for kind in _leaves(Rejection)},
    **{code: status for status, refusal in REFUSALS.items() for code in refusal.codes},
}
