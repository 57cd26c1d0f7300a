"""What goes wrong, as HTTP: one shape of answer, and the status of every code.

Problem                        status, code, message, details, errors (by field), headers
"""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError
from pymongo.errors import ConnectionFailure, ExecutionTimeout, PyMongoError

from domain.errors import InvalidId
from projections.mongo.queries import NotDeployed
from streams.kafka.gateway import CommandTooLarge, GatewayUnavailable
from streams.messages.codec import BadMessage
from streams.messages.envelope import Outcome
from streams.messages.strict import field_errors
from streams.runtime.webserver import NOT_UNDERSTOOD

from .answers import json_response, raw_response

RETRY_AFTER = {"Retry-After": "2"}  # seconds
CONFLICTS = frozenset({
    "ALLOCATION_PENDING", "ORDER_EXISTS", "SHIPMENT_EXISTS", "RETURN_EXISTS", "RETURN_ALREADY_RECEIVED",
    "RESERVATION_EXISTS", "STALE_QUANTITY", "IDEMPOTENCY_KEY_IN_FLIGHT",
})  # fmt: skip
MALFORMED = frozenset({"UNKNOWN_TYPE", "MISSING_KEY", "VALIDATION_FAILED", "NOT_JSON"})
OF_HTTP = {
    **{status: code for status, (code, _) in NOT_UNDERSTOOD.items() if status < 500},
    408: "REQUEST_TIMEOUT",
    413: "BODY_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}
_KINDS = ("Order", "Product", "Customer", "Command", "Letter", "Message")
MISSING = {kind: f"{kind.upper()}_NOT_FOUND" for kind in _KINDS}  # the codes of `missing`


class Problem(Exception):
    """An answer that says no; the middleware writes it out."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        errors: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.details, self.errors, self.headers = details or {}, errors, headers

    def response(self) -> web.Response:
        """Return the answer."""
        body: dict[str, Any] = {"success": False, "error": self.code, "message": self.message}
        body["details"] = self.details
        if self.errors is not None:
            body["errors"] = self.errors
        try:
            return json_response(body, self.status, self.headers)
        except orjson.JSONEncodeError:  # it quotes a header that is no UTF-8
            text = json.dumps(body, ensure_ascii=False).encode(errors="replace")
            return raw_response(text, self.status, self.headers)


def status_of(code: str) -> int:
    """Return the HTTP status of a rejection's code."""
    if code.endswith("_NOT_FOUND"):
        return 404
    if code in CONFLICTS:
        return 409
    if code == "STALE_VERSION":
        return 412
    if code == "MESSAGE_TOO_LARGE":
        return 413
    if code in MALFORMED or (code.startswith("INVALID_") and code != "INVALID_STATUS_TRANSITION"):
        return 400
    return 422


def rejected(outcome: Outcome, command_id: str, headers: Mapping[str, str] | None = None) -> Problem:
    """Return the aggregate's no."""
    code = outcome.code or "REJECTED"
    details = {**(outcome.details or {}), "commandId": command_id, "retryable": outcome.retryable}
    errors = {details["field"]: details["reason"]} if code == InvalidId.code else None
    return Problem(status_of(code), code, outcome.message or "the command was rejected", details, errors, headers)


def invalid(fields: Mapping[str, str], code: str = "VALIDATION_FAILED") -> Problem:
    """Return a 400 that names the fields and what is wrong with each."""
    first = "; ".join(f"{path}: {sentence}" for path, sentence in list(fields.items())[:3])
    return Problem(400, code, first, errors=fields)


def invalid_model(error: ValidationError, model: type[BaseModel], code: str = "VALIDATION_FAILED") -> Problem:
    """Return a 400 for what pydantic found wrong with what was to be a `model`."""
    fields = field_errors(error, model)
    if code == "VALIDATION_FAILED" and any(path.split(".")[-1] in {"quantity", "delta"} for path in fields):
        code = "INVALID_QUANTITY"
    return invalid(fields, code)


def missing(kind: str, identifier: str) -> Problem:
    """Return a 404."""
    name = kind.lower()
    return Problem(404, MISSING[kind], f"there is no {name} {identifier}", {f"{name}Id": identifier})


def unavailable(code: str, message: str, details: Mapping[str, Any] | None = None) -> Problem:
    """Return a 503: what it needs is away, and may be back in a moment."""
    return Problem(503, code, message, details, headers=RETRY_AFTER)


def problem_of(error: Exception) -> Problem | None:
    """Return what to answer to `error`; None when it is a fault of ours."""
    match error:
        case Problem():
            return error
        case BadMessage():
            return Problem(status_of(error.code), error.code, error.message, error.details)
        case CommandTooLarge():
            details = {"topic": error.topic, "bytes": error.size, "limit": error.limit}
            return Problem(413, "MESSAGE_TOO_LARGE", str(error), details)
        case GatewayUnavailable():
            ids = list(error.on_their_way)
            return unavailable("KAFKA_UNAVAILABLE", str(error), {"commandIds": ids} if ids else None)
        case NotDeployed():
            return unavailable("READ_MODEL_NOT_DEPLOYED", str(error))
        case ConnectionFailure() | ExecutionTimeout():
            return unavailable("MONGODB_UNAVAILABLE", "the read models cannot be reached, try again in a moment")
        case PyMongoError() if error.timeout:
            return unavailable("MONGODB_UNAVAILABLE", "the read models do not answer, try again in a moment")
        case web.HTTPException():
            return _of_http(error)
        case RecursionError():  # what JSON reads may be nested deeper than Python shows
            return Problem(400, "NOT_JSON", "the body is nested too deep")
    return None


def _of_http(error: web.HTTPException) -> Problem:
    code = OF_HTTP.get(error.status, error.reason.upper().replace(" ", "_"))
    headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    message = {
        404: "there is nothing at this path; see /openapi.json",
        405: f"this path takes {headers.get('Allow', 'other methods')}",
        413: "the body is larger than this service takes",
    }.get(error.status, error.reason)
    return Problem(error.status, code, message, headers=headers)
