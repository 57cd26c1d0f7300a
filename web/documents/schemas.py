"""JSON schemas of answers; the schemas of requests come from their models."""

from typing import Any, get_type_hints

from pydantic.alias_generators import to_camel

from streams.messages.strict import IGNORED

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TIME: Schema = {"type": "string", "format": "date-time"}
MONEY: Schema = {
    "type": "object",
    "required": ["currency", "value"],
    "properties": {
        "currency": {"type": "string", "examples": ["EUR"]},
        "value": {"type": "string", "examples": ["19.99"]},
    },
}


def ref(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """Return the schema of an object; fields that are not required may be missing or null."""
    nullable = {name: schema if name in required else {"anyOf": [schema, {"type": "null"}]}
                for name, schema in properties.items()}  # fmt: skip
    return {"type": "object", "required": list(required), "properties": nullable}


def with_ignored(schemas: dict[str, Schema]) -> dict[str, Schema]:
    """Return the schemas of models, with the fields that are accepted and ignored."""
    for name, fields in IGNORED.items():
        if name in schemas:
            ignored = {field: {"deprecated": True, "description": "Accepted and ignored."} for field in sorted(fields)}
            schemas[name] = {**schemas[name], "properties": {**schemas[name]["properties"], **ignored}}
    return schemas


def as_kept(state: type, **others: Schema) -> dict[str, Schema]:
    """Return the schemas of a state's texts and counts, shown under their camelCase names; `others` come first."""
    kinds = {str: TEXT, str | None: TEXT, int: COUNT, bool: {"type": "boolean"}}
    plain = {to_camel(name): kinds[kind] for name, kind in get_type_hints(state).items() if kind in kinds}
    return others | {name: schema for name, schema in plain.items() if name not in others}


def list_of(schema: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": schema}


def success(data: Schema) -> Schema:
    """Return the schema of an answer."""
    return {
        "type": "object",
        "required": ["success", "data"],
        "properties": {"success": {"const": True}, "data": data},
    }


def listing(data: Schema) -> Schema:
    """Return the schema of a page of a list."""
    schema = success(list_of(data))
    schema["properties"]["nextCursor"] = {"type": ["string", "null"]}
    return schema


_PARKED = {"aggregate": {"enum": ["order", "inventory"]}, "aggregateId": TEXT, "topic": TEXT, "letters": COUNT,
           "since": TIME, "commandId": TEXT, "commandType": TEXT, "code": TEXT, "message": TEXT,
           "attempts": COUNT}  # fmt: skip
_LETTER = {
    "id": {**TEXT, "description": "The id of its record on `dead-letters`; a letter recorded again gets a new id."},
    "kind": TEXT, "topic": TEXT, "partition": COUNT, "offset": COUNT, "code": TEXT, "message": TEXT, "time": TIME,
    "key": TEXT, "value": {**TEXT, "description": "The message as received; in lists only if it is small."},
    "valueBase64": {**TEXT, "description": "Instead of `value`, if the message is not text."},
    "valuePreview": {**TEXT, "description": "In lists: the beginning of a large value."},
    "valueBytes": {"type": ["integer", "null"], "description": "In lists: the size of the value."},
    "href": {**TEXT, "description": "In lists: the path of the complete letter."},
    "headers": list_of({"type": "object"}), "aggregate": TEXT, "aggregateId": TEXT, "commandId": TEXT,
    "commandType": {**TEXT, "description": "Missing if the message has no type."}, "attempts": COUNT,
    "traceback": TEXT, "reason": TEXT, "role": TEXT, "principal": TEXT,
}  # fmt: skip
STOCK = {f"{name}Quantity": COUNT for name in "available allocated onHand damaged backordered".split()}
TIMES = {"createdAt": TIME, "updatedAt": TIME}
OUTCOME = record(
    ("id", "status"), id=TEXT, status={"enum": ["accepted", "rejected", "pending"]}, type=TEXT,
    reason={"const": "parked"}, code=TEXT, message=TEXT, source=TEXT, aggregate=TEXT, aggregateId=TEXT, version=COUNT,
    time=TIME, producerTime=TIME, events=list_of({"type": "object"}),
    others={**list_of(ref("Outcome")), "description": "The outcomes of other commands with the same id."},
)  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "Decided": record(("id", "commandId"), id=TEXT, commandId=TEXT, version=COUNT, status=TEXT, allocationStatus=TEXT,
                      shipmentId=TEXT, returnId=TEXT, productId=TEXT, **STOCK),
    "Preview": record(
        ("shipments", "lines"), allocation={"type": ["object", "null"]}, shipments=COUNT, lines=list_of(record(
            ("lineId", "productId", "quantity", "allocated", "missing", "locations"), lineId=TEXT, productId=TEXT,
            quantity=COUNT, allocated=COUNT, missing=COUNT,
            locations=list_of(record(("location", "quantity"), location=TEXT, quantity=COUNT))))),
    "Pending": record(("commandId", "status"), id=TEXT, commandId=TEXT, status={"const": "pending"}),
    "Projection": record(
        ("name", "live", "previous", "versions"), name=TEXT, live={"type": ["integer", "null"]},
        previous={"type": ["integer", "null"]}, switchedAt=TIME, versions=list_of(record(
            ("version", "shape", "state", "createdAt", "behind"), version=COUNT, shape=COUNT,
            state={"enum": ["building", "following", "stopped"]}, createdAt=TIME, behind=COUNT, reason=TEXT,
            verified={"type": "object"}))),
    "OperatorAction": record(
        ("id", "time", "principal", "action", "target", "via", "details"), id=TEXT, time=TIME,
        principal={"type": ["string", "null"], "description": "Null if the API requires no credentials."},
        action=TEXT, target=TEXT, via={"enum": ["http", "cli"]}, details={"type": "object"}),
    "ParkedKey": record(tuple(_PARKED), **_PARKED),
    "ParkedLetters": record((*_PARKED, "items", "nextCursor"), **_PARKED, items=list_of(ref("Letter")),
                            nextCursor={"type": ["string", "null"]}),
    "Letter": record(("id", "kind", "topic", "partition", "offset", "code", "message", "time"), **_LETTER),
    "LettersHandled": record(("aggregate", "aggregateId", "commandId", "left"), aggregate=TEXT, aggregateId=TEXT,
                             commandId=TEXT, retried=COUNT, discarded=COUNT, left=COUNT, failed={"type": "object"}),
}  # fmt: skip
