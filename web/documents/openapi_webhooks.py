"""The paths below `/webhooks` in the OpenAPI document."""

import re
from typing import Any

from pydantic import BaseModel

from web.operations.webhooks import ROUTES, STATUSES, NewSecret, NewWebhook, Replay

from .parameters import LISTING, in_path, in_query
from .refusals import OF_ALL, OF_BODIES, refusals
from .schemas import COUNT, TEXT, TIME, Schema, list_of, listing, record, ref, success

NAMES = list_of(TEXT)
POSITIONS: Schema = {"type": "object", "additionalProperties": COUNT}
_SHOWN = {
    "id": TEXT, "url": TEXT, "types": NAMES, "customerIds": NAMES, "locations": NAMES, "description": TEXT,
    "status": {"enum": ["active", "paused", "parked"]}, "reason": TEXT, "createdAt": TIME, "revision": COUNT,
}  # fmt: skip
_WAITING = {"aggregateId": TEXT, "events": COUNT, "attempts": COUNT, "since": TIME, "nextAttempt": TIME, "error": TEXT}
_PROGRESS = {"positions": POSITIONS, "lastSuccess": TIME, "waiting": COUNT,
             "waitingFor": list_of(record(tuple(_WAITING), **_WAITING))}  # fmt: skip
_DELIVERY = {
    "id": TEXT, "subscription": TEXT, "webhookId": TEXT, "type": TEXT, "aggregateId": TEXT, "topic": TEXT,
    "partition": COUNT, "offset": COUNT, "status": {"enum": list(STATUSES)}, "attempts": COUNT, "lastAttempt": TIME,
    "nextAttempt": TIME, "responseStatus": COUNT, "error": TEXT,
}  # fmt: skip
_ONCE = {**TEXT, "description": "The secret; no other answer contains it."}
WEBHOOK_SCHEMAS: dict[str, Schema] = {
    "Webhook": record(("id", "url", "status", "createdAt", "revision"), **_SHOWN,
                      progress=record(("positions", "waiting", "waitingFor"), **_PROGRESS), secret=_ONCE,
                      formerSecretUntil=TIME),
    "WebhookDelivery": record(("id", "webhookId", "type", "status", "attempts", "lastAttempt"), **_DELIVERY),
}  # fmt: skip
SUMMARIES = {
    ("POST", ""): "Subscribe to events, which are signed and sent to a URL",
    ("GET", ""): "List the webhooks",
    ("GET", "/{webhookId}"): "Get a webhook and its progress",
    ("DELETE", "/{webhookId}"): "Delete a webhook",
    ("GET", "/{webhookId}/deliveries"): "List the deliveries of the last week, the newest attempt first",
    ("POST", "/{webhookId}/replay"): "Start deliveries again from a time, or from offsets",
    ("POST", "/{webhookId}/pause"): "Pause deliveries",
    ("POST", "/{webhookId}/resume"): "Continue deliveries where they stopped",
    ("POST", "/{webhookId}/rotate-secret"): "Replace the secret",
}
BODIES: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
    "/webhooks": (NewWebhook, {"url": "https://shop.example/hooks", "types": ["OrderPlaced", "ShipmentCreated"]}),
    "/webhooks/{webhookId}/replay": (Replay, {"from": "2026-11-23T10:00:00.000Z"}),
    "/webhooks/{webhookId}/rotate-secret": (NewSecret, {"overlapSeconds": 86_400}),
}


def webhook_paths() -> dict[str, dict[str, Any]]:
    """Return the operations, by path below the prefix."""
    found: dict[str, dict[str, Any]] = {}
    for method, path, _ in ROUTES:
        found.setdefault(path, {})[method.lower()] = _operation(method, path)
    return found


def _operation(method: str, path: str) -> Schema:
    operation: Schema = {
        "summary": SUMMARIES[method, path.removeprefix("/webhooks")],
        "operationId": re.sub(r"\W+", "_", f"{method.lower()}{path}").strip("_"),
        "tags": ["webhooks"],
        "parameters": _parameters(method, path),
        "responses": _responses(method, path),
    }
    if method == "POST" and path in BODIES:
        model, example = BODIES[path]
        schema = model.model_json_schema(by_alias=True)
        content = {"application/json": {"schema": schema, "example": example}}
        operation["requestBody"] = {"required": model is not NewSecret, "content": content}
    return operation


def _parameters(method: str, path: str) -> list[Schema]:
    if path.endswith("/deliveries"):
        status = in_query("status", "only deliveries with this status", {"enum": list(STATUSES)})
        return [*in_path(path), status, *LISTING]
    return in_path(path)


def _responses(method: str, path: str) -> Schema:
    schema = success(ref("Webhook"))
    if path.endswith("/deliveries"):
        schema = listing(ref("WebhookDelivery"))
    elif method == "DELETE":
        schema = success(record(("id",), id=TEXT))
    elif (method, path) == ("GET", "/webhooks"):
        schema = listing(ref("Webhook"))
    status = "201" if (method, path) == ("POST", "/webhooks") else "200"
    refused = {*(OF_BODIES if method == "POST" else OF_ALL)}
    refused |= {409} if method == "POST" else set()
    refused |= {404} if "{" in path else set()
    done = {"description": "The result.", "content": {"application/json": {"schema": schema}}}
    return {status: done, **refusals(tuple(refused))}
