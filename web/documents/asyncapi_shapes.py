"""The schemas of messages without a model: the envelope, outcomes, dead letters and table entries."""

from typing import Any

from .schemas import COUNT, TEXT, TIME, Schema, list_of, record

_TIME = (
    "Of a command: the time by its producer's clock; default: when Kafka received it. Of an event: when Kafka received "
    "its command, by the broker's clock, and never before the aggregate's last event."
)
PRODUCER_TIME: Schema = {**TIME, "description": "The time that the producer of the command set, if it set one."}
PRINCIPAL: Schema = {
    **TEXT,
    "description": "The client that sent the command, as the API or the command line knows it: a named token, "
    "`oidc:` and the subject of a JWT, `cli:` and a user. Other producers need not set it.",
}
VALID_UNTIL = "A command that is not decided before this time, by the worker's clock, is refused: `COMMAND_EXPIRED`."
_WHO: Schema = {"type": "string", "minLength": 1, "maxLength": 128}


def envelope(name: str, data: Schema, schema_version: int | None = None) -> Schema:
    """Return the schema of a command, or of an event if there is a `schema_version`; events have every field."""
    properties: Schema = {
        "specversion": {"const": "1.0"},
        "id": {**_WHO, "description": "If a command has none, it is derived from topic, partition and offset."},
        "type": {"const": name},
        "source": {**TEXT, "description": "The program that sent it. Source and id together identify a command."},
        "subject": {**_WHO, "description": "The aggregate's id."},
        "time": {**TIME, "description": _TIME},
        "correlationid": {**_WHO, "description": "The same in all messages that result from one command."},
        "causationid": {**_WHO, "description": "The message that caused this one."},
    }
    if schema_version is None:
        sentence = 'The versions the aggregate may have: 3, "3, 4" for either, 0 if it must not exist, "*" if it must.'
        either = [COUNT, {"type": "string", "pattern": r"^(\*|[0-9]{1,16}( *, *[0-9]{1,16})*)$"}]
        properties["expectedversion"] = {"anyOf": either, "description": sentence}
        properties["validuntil"] = {**TIME, "description": VALID_UNTIL}
    else:
        properties["sequence"] = {
            "type": "integer",
            "minimum": 1,
            "description": "The version of the aggregate after the event.",
        }
        properties["schemaversion"] = {"const": schema_version}
    properties["data"] = data
    required = ["type", "data"] if schema_version is None else list(properties)
    if schema_version is not None:
        properties["producertime"] = PRODUCER_TIME
    properties["principal"] = PRINCIPAL
    return {"type": "object", "required": required, "properties": properties}


def binary_headers(name: str) -> Schema:
    """Return the schema of a command's headers in CloudEvents' binary mode, where the value is only the data."""
    attributes = envelope(name, {})["properties"]
    del attributes["data"]
    expected = {**TEXT, "description": attributes["expectedversion"]["description"]}
    return {
        "type": "object",
        "description": "The attributes in binary mode; in structured mode only content-type.",
        "properties": {
            "content-type": {"enum": ["application/cloudevents+json", "application/json"]},
            **{f"ce_{attribute}": schema for attribute, schema in attributes.items()},
            "ce_expectedversion": expected,
        },
    }


_OUTCOME = {
    "commandId": TEXT, "commandType": {**TEXT, "description": "Empty if a refused message has no type."},
    "aggregate": {"enum": ["order", "inventory"]}, "aggregateId": TEXT,
    "version": {**COUNT, "description": "The version of the aggregate afterwards."},
    "events": list_of(record(("id", "type", "sequence"), id=TEXT, type=TEXT, sequence=COUNT)),
}  # fmt: skip
_SOURCE: Schema = {**TEXT, "description": "The source of the command. Outcomes written by older code lack it."}
_DIGEST: Schema = {
    **TEXT,
    "description": "A hash of the command's content; different content with the same id is refused.",
}
_IDENTITY = {"commandSource": _SOURCE, "commandDigest": _DIGEST}
_ACCEPTED = record(
    (*_OUTCOME, "status"), **_OUTCOME, **_IDENTITY, status={"const": "accepted"}, result={"type": "object"},
    details={"type": "object", "description": "For a count of stock: `returnedToWaiting`, the lines that wait again."},
)  # fmt: skip
_REJECTED = record(
    (*_OUTCOME, "status", "code", "message", "details", "retryable"), **_OUTCOME, **_IDENTITY,
    status={"const": "rejected"},
    code=TEXT, message=TEXT, details={"type": "object"}, retryable={"type": "boolean"}, result={"type": "object"},
)  # fmt: skip


def _written(name: str, sentence: str, data: Schema) -> Schema:
    schema = envelope(name, data)
    for name_of_commands in ("expectedversion", "validuntil", "principal"):
        schema["properties"].pop(name_of_commands)
    if name != "DeadLetter":
        schema["properties"]["producertime"] = PRODUCER_TIME
    return {**schema, "description": sentence}


OUTCOMES: dict[str, Schema] = {
    "CommandAccepted": _written("CommandAccepted", "The command was accepted and caused these events.", _ACCEPTED),
    "CommandRejected": _written("CommandRejected", "The command was rejected; see `code` and `details`.", _REJECTED),
}
LETTER = _written(
    "DeadLetter",
    "A message that could not be handled.",
    record(
        ("kind", "topic", "partition", "offset", "code", "message", "headers"), kind=TEXT, topic=TEXT, partition=COUNT,
        offset=COUNT, code=TEXT, message=TEXT, key=TEXT, keyBase64=TEXT, value=TEXT, valueBase64=TEXT,
        headers=list_of({"type": "object"}), traceback=TEXT, aggregate=TEXT, aggregateId=TEXT, commandId=TEXT,
        commandType=TEXT, attempts=COUNT, reason=TEXT, role=TEXT, principal=TEXT,
    ),
)  # fmt: skip
CUSTOMER_KEY = record(
    ("keyId", "customerId", "partition", "wrapped"), keyId=TEXT, customerId=TEXT, partition=COUNT, wrapped=TEXT
)
CUSTOMER_KEY_EXAMPLE = {
    "keyId": "3f0f1f0e-5a0c-4f5b-9a57-0d8b1c2d3e4f", "customerId": "ada", "partition": 3, "wrapped": "q83vEjRWeJA=",
}  # fmt: skip
WEBHOOK = record(
    ("id", "revision", "url", "secrets", "created_at", "start"), id=TEXT, revision=COUNT, url=TEXT,
    types=list_of(TEXT), customer_ids=list_of(TEXT), locations=list_of(TEXT), description=TEXT,
    secrets=list_of(record(("text",), text=TEXT, until={"type": "number"})),
    status={"enum": ["active", "paused", "parked"]}, reason=TEXT, created_at=TIME,
    start=record(("id", "positions"), id=TEXT, positions={"type": "object", "additionalProperties": COUNT}),
)  # fmt: skip
WEBHOOK_EXAMPLE = {
    "id": "0198f0c2-2f6a-7c3e-9c55-1b0d6f0b6a01", "revision": 1, "url": "https://shop.example/hooks",
    "types": ["OrderPlaced"], "customer_ids": [], "locations": [], "description": None,
    "secrets": [{"text": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "until": None}], "status": "active", "reason": None,
    "created_at": "2026-11-23T10:00:00.000Z",
    "start": {"id": "0198f0c2-2f6a-7c3e-9c55-1b0d6f0b6a02", "positions": {"order-events/0": 17}},
}  # fmt: skip
TABLE_ENTRY: Schema = {"type": ["object", "null"], "description": "Null if the entry was deleted."}
_ID = "0198f0c2-2f6a-7c3e-9c55-1b0d6f0b6a01"
LETTER_EXAMPLE: dict[str, Any] = {
    "specversion": "1.0", "id": "9c2f3b52-6c6e-5b41-8f43-0a4f0a6f2f11", "type": "DeadLetter",
    "source": "order-commands", "time": "2026-11-23T10:00:00.000Z",
    "data": {"kind": "invalid", "topic": "order-commands", "partition": 3, "offset": 17, "code": "UNKNOWN_TYPE",
             "message": "unknown command type 'Plcae'", "key": "order-1001", "value": '{"type": "Plcae"}',
             "headers": []},
}  # fmt: skip


def outcome_example(name: str) -> dict[str, Any]:
    """Return an example of an outcome."""
    data: dict[str, Any] = {
        "commandId": _ID, "commandSource": "web", "commandType": "CancelOrder", "aggregate": "order",
        "aggregateId": "order-1001", "status": "accepted", "version": 4,
        "events": [{"id": _ID, "type": "OrderCancelled", "sequence": 4}],
    }  # fmt: skip
    if name == "CommandRejected":
        no = {"code": "ORDER_CANNOT_BE_CANCELLED", "message": "an order that is DELIVERED cannot be cancelled"}
        data |= {"status": "rejected", "events": [], **no, "details": {"status": "DELIVERED"}, "retryable": False}
    return {
        "specversion": "1.0", "id": "7f0a5d0e-5d6b-5b0e-9a43-51b1c1f6f0aa", "type": name, "source": "order",
        "subject": "order-1001", "time": "2026-11-23T10:00:00.000Z", "correlationid": _ID, "causationid": _ID,
        "data": data,
    }  # fmt: skip
