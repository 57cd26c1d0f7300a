"""Every code an answer can carry in `error`, by its HTTP status."""

from collections.abc import Iterator, Mapping

from domain.errors import Rejection
from web.errors import MISSING, OF_HTTP, status_of

OURS: Mapping[int, tuple[str, ...]] = {
    400: ("VALIDATION_FAILED", "NOT_JSON", "UNKNOWN_TYPE", "MISSING_KEY", "INVALID_MESSAGE", "INVALID_COMMAND"),
    401: ("UNAUTHORIZED",),
    404: (*MISSING.values(), "VERSION_NOT_FOUND"),
    409: ("AMBIGUOUS_COMMAND_ID", "IDEMPOTENCY_KEY_IN_FLIGHT"),
    413: ("MESSAGE_TOO_LARGE",),
    422: ("IDEMPOTENCY_KEY_REUSED", "DISCARDED", "REFUSED_BY_KAFKA"),
    500: ("INTERNAL_ERROR",),
    503: ("KAFKA_UNAVAILABLE", "MONGODB_UNAVAILABLE", "READ_MODEL_BEHIND", "READ_MODEL_NOT_DEPLOYED"),
    504: ("CONSISTENCY_TIMEOUT",),
}


def codes() -> dict[int, list[str]]:
    """Return status → the codes it comes with, sorted."""
    found: dict[int, set[str]] = {status: set(names) for status, names in OURS.items()}
    for status, code in [*OF_HTTP.items(), *((status_of(each.code), each.code) for each in _rejections(Rejection))]:
        found.setdefault(status, set()).add(code)
    return {status: sorted(names) for status, names in sorted(found.items())}


def every_code() -> list[str]:
    """Return all codes, sorted."""
    return sorted({name for names in codes().values() for name in names})


def _rejections(kind: type[Rejection]) -> Iterator[type[Rejection]]:
    """Yield the leaves of the tree: its branches are never raised."""
    below = kind.__subclasses__()
    if not below:
        yield kind
    for each in below:
        yield from _rejections(each)
