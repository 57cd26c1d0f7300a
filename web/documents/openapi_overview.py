"""The paths of the dashboard in the OpenAPI document."""

from typing import Any

from .parameters import IDENTIFIER, in_path, in_query
from .refusals import OF_ALL, refusals
from .schemas import COUNT, TEXT, Schema, list_of, record, ref, success

MESSAGE = "/messages/{topic}/{messageId}"
FREE: Schema = {"type": "object"}
_BY_STATE: Schema = {"type": "object", "additionalProperties": COUNT}
_LAG = record(("topic", "lag", "byPartition"), topic=TEXT, lag=COUNT, byPartition=list_of(COUNT))
_ORDERS = {"total": COUNT, "pickable": COUNT, "onHold": COUNT, "late": COUNT, "archived": COUNT,
           "byStatus": _BY_STATE, "byAllocation": _BY_STATE}  # fmt: skip
_SUMMARY = record(
    ("orders", "products"),
    orders=record(tuple(_ORDERS), **_ORDERS),
    products=record(
        ("byStatus", "shortTotal", "short"), byStatus=_BY_STATE, shortTotal=COUNT, short=list_of(ref("Product"))
    ),
)
_MILLISECONDS: Schema = {"type": "number", "minimum": 0, "description": "milliseconds from command to log"}
_RATES = record(
    ("stepSeconds", "from", "knownFrom", "types", "steps"),
    **{"stepSeconds": COUNT, "from": {**COUNT, "description": "start of the first step, Unix time"}},
    knownFrom={"type": "number", "description": "counts before this time are incomplete, Unix time"},
    types=list_of(TEXT),
    steps=list_of(record(("events",), events=_BY_STATE, p50=_MILLISECONDS, p99=_MILLISECONDS)),
)
_ROLE = record(("role", "workers", "lag", "topics"), role=TEXT, workers=COUNT, lag=COUNT, topics=list_of(_LAG))
_PIPELINE = record(
    ("roles", "listeners", "version"),
    roles=list_of(_ROLE),
    parked=record(("aggregates", "letters"), aggregates=COUNT, letters=COUNT),
    listeners=COUNT, version=TEXT, kafdrop=TEXT, prefix=TEXT,
)  # fmt: skip
_MESSAGE = record(("topic", "partition", "offset", "timestamp"), topic=TEXT, partition=COUNT, offset=COUNT, key=TEXT,
                  value=TEXT, headers=list_of(FREE), timestamp=COUNT)  # fmt: skip


def overview_paths() -> dict[str, dict[str, Any]]:
    """Return the operations, by path below the prefix."""
    asked = [in_query("key", "the Kafka key of the message", IDENTIFIER) | {"required": True}]
    asked += [in_query("time", "approximately when Kafka received the message; the search starts there")]
    return {
        "/summary": {"get": _get("summary", "Count orders and products by state", _SUMMARY)},
        "/rates": {"get": _get("rates", "Count the events of the last 15 minutes, with latencies", _RATES)},
        "/pipeline": {"get": _get("pipeline", "List the roles with their workers and lag by partition", _PIPELINE)},
        MESSAGE: {
            "get": {
                **_get("message", "Get a message as it is on Kafka", _MESSAGE, (*OF_ALL, 404, 503)),
                "parameters": [*in_path(MESSAGE), *asked],
            }
        },
    }


def _get(name: str, summary: str, schema: Schema, says_no: tuple[int, ...] = (*OF_ALL, 503)) -> Schema:
    found = {"description": "The result.", "content": {"application/json": {"schema": success(schema)}}}
    return {
        "summary": summary,
        "operationId": f"get_{name}",
        "tags": ["overview"],
        "responses": {"200": found, **refusals(says_no)},
    }
