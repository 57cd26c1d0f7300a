"""Errors as HTTP answers: `{"success":false,"error":CODE,"message":…,"details":{}}`, and `errors` by field.

Problem                code, message, details, errors, headers; its status is in `web.statuses`
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pymongo.errors import ConnectionFailure, ExecutionTimeout, PyMongoError

from projections.mongo.failures import is_refused, is_unreachable
from projections.mongo.queries import NotDeployed
from streams.access.denials import Denied
from streams.kafka.gateway import CommandTooLarge, GatewayUnavailable
from streams.messages.codec import BadMessage
from streams.messages.strict import field_errors
from streams.topics import UnfinishedImport

from .answers import Answer
from .statuses import status_of

RETRY_AFTER = {"Retry-After": "2"}  # seconds
QUANTITIES = frozenset({"quantity", "delta"})  # fields whose errors have a code of their own
ROUTING = {  # status of an error that aiohttp raises → code and message
    404: ("NOT_FOUND", "no resource has this path; see /openapi.json"),
    405: ("METHOD_NOT_ALLOWED", "this path supports {allow}"),
    413: ("BODY_TOO_LARGE", "the body is larger than the limit of this service"),
}


class Problem(Exception):
    """An error answer; the layer around the handlers sends it."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        errors: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status_of(code) if status is None else status
        self.code, self.message = code, message
        self.details, self.errors, self.headers = details or {}, errors, headers

    def answer(self) -> Answer:
        """Return the answer."""
        body: dict[str, Any] = {"success": False, "error": self.code, "message": self.message}
        body["details"] = self.details
        if self.errors is not None:
            body["errors"] = self.errors
        return Answer(body, self.status, self.headers or {})


def invalid(fields: Mapping[str, str], code: str = "VALIDATION_FAILED") -> Problem:
    """Return a 400 that says for each field what is wrong."""
    first = "; ".join(f"{path}: {sentence}" for path, sentence in list(fields.items())[:3])
    return Problem(code, first, errors=fields)


def invalid_model(error: ValidationError, model: type[BaseModel], code: str = "VALIDATION_FAILED") -> Problem:
    """Return a 400 for data that `model` refused."""
    fields = field_errors(error, model)
    if code == "VALIDATION_FAILED" and any(path.split(".")[-1] in QUANTITIES for path in fields):
        code = "INVALID_QUANTITY"
    return invalid(fields, code)


def not_found(kind: str) -> str:
    """Return the code of the 404 for a kind of resource: CUSTOMER_NOT_FOUND for `Customer`."""
    return f"{kind.upper()}_NOT_FOUND"


def missing(kind: str, identifier: str) -> Problem:
    """Return a 404."""
    name = kind.lower()
    details = {f"{name}Id": identifier}
    return Problem(not_found(kind), f"there is no {name} {identifier}", details, status=404)


def unavailable(code: str, message: str, details: Mapping[str, Any] | None = None) -> Problem:
    """Return a 503 that asks the client to retry."""
    return Problem(code, message, details, headers=RETRY_AFTER)


def problem_of(error: Exception) -> Problem | None:
    """Return the answer to `error`; None when the service itself failed."""
    match error:
        case Problem():
            return error
        case Denied():
            return Problem(error.code, error.message, error.details, headers=error.headers)
        case BadMessage():
            return Problem(error.code, error.message, error.details)
        case CommandTooLarge():
            details = {"topic": error.topic, "bytes": error.size, "limit": error.limit}
            return Problem("MESSAGE_TOO_LARGE", str(error), details)
        case GatewayUnavailable():
            ids = list(error.on_their_way)
            return unavailable("KAFKA_UNAVAILABLE", str(error), {"commandIds": ids} if ids else None)
        case UnfinishedImport():
            return unavailable("IMPORT_UNFINISHED", f"nothing was sent, because {error}")
        case NotDeployed():
            return unavailable("READ_MODEL_NOT_DEPLOYED", str(error))
        case PyMongoError() if error.timeout and not isinstance(error, ConnectionFailure | ExecutionTimeout):
            return unavailable("MONGODB_UNAVAILABLE", "MongoDB did not answer in time; retry in a moment")
        case PyMongoError() if is_unreachable(error):
            return unavailable("MONGODB_UNAVAILABLE", "MongoDB is unreachable; retry in a moment")
        case PyMongoError() if is_refused(error):
            return unavailable("MONGODB_UNAVAILABLE", "MongoDB does not accept this service; /readyz says why")
        case web.HTTPException():
            return _of_routing(error)
        case RecursionError():  # orjson parses deeper nesting than Python code can walk
            return Problem("NOT_JSON", "the body is nested too deeply")
    return None


def _of_routing(error: web.HTTPException) -> Problem:
    headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    code, sentence = ROUTING.get(error.status) or (error.reason.upper().replace(" ", "_"), error.reason)
    sentence = sentence.replace("{allow}", headers.get("Allow", "other methods"))
    return Problem(code, sentence, headers=headers, status=error.status)
