"""What answers look like, as JSON schemas; requests' schemas come from their models."""

from typing import Any, get_args, get_type_hints

from pydantic.alias_generators import to_camel

from domain.orders import Order
from projections.explanation import WaitsFor
from streams.messages.strict import IGNORED

from .codes import every_code

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
    """Return an object's schema; what is not required may be missing or null."""
    nullable = {name: schema if name in required else {"anyOf": [schema, {"type": "null"}]}
                for name, schema in properties.items()}  # fmt: skip
    return {"type": "object", "required": list(required), "properties": nullable}


def with_ignored(schemas: dict[str, Schema]) -> dict[str, Schema]:
    """Return models' schemas with the fields that are accepted and ignored."""
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
    """Return an array's schema."""
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
    "id": {**TEXT, "description": "Of its record on `dead-letters`; one that is recorded again has another."},
    "kind": TEXT, "topic": TEXT, "partition": COUNT, "offset": COUNT, "code": TEXT, "message": TEXT, "time": TIME,
    "key": TEXT, "value": {**TEXT, "description": "The message as it came; in lists only if it is small."},
    "valueBase64": {**TEXT, "description": "Instead of `value`, of bytes that are no text."},
    "valuePreview": {**TEXT, "description": "In lists: how a large value begins."},
    "valueBytes": {"type": ["integer", "null"], "description": "In lists: the size of the value."},
    "href": {**TEXT, "description": "In lists: where the letter is whole."},
    "headers": list_of({"type": "object"}), "aggregate": TEXT, "aggregateId": TEXT, "commandId": TEXT,
    "commandType": {**TEXT, "description": "Left out where the message says none."}, "attempts": COUNT,
    "traceback": TEXT, "reason": TEXT, "role": TEXT,
}  # fmt: skip
_UNITS = ("pending", "backordered", "allocated", "shipped", "delivered", "cancelled", "returned")
_QUANTITIES = dict.fromkeys(_UNITS, COUNT)
_STOCK = {f"{name}Quantity": COUNT for name in "available allocated onHand damaged backordered".split()}
_WHY = {"commandId": TEXT, "commandType": TEXT, "causationId": TEXT, "correlationId": TEXT}
_TIMES = {"createdAt": TIME, "updatedAt": TIME}
ADDRESS = record(street=TEXT, city=TEXT, state=TEXT, zipCode=TEXT, country=TEXT, name=TEXT, company=TEXT, street2=TEXT,
                 street3=TEXT, phone=TEXT, email=TEXT, instructions=TEXT)  # fmt: skip
ITEM = record(("lineId", "productId", "quantity", "price"), lineId=TEXT, productId=TEXT, quantity=COUNT, price=MONEY,
              **_QUANTITIES)  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "Error": {
        "type": "object",
        "required": ["success", "error", "message"],
        "properties": {
            "success": {"const": False},
            "error": {"enum": every_code(), "description": "what to act on"},
            "message": {"type": "string", "description": "a sentence for a person"},
            "details": {"type": "object", "description": "the data behind the sentence"},
            "errors": {"type": "object", "additionalProperties": TEXT, "description": "field → what is wrong with it"},
        },
    },
    "Decided": record(("id", "commandId"), id=TEXT, commandId=TEXT, version=COUNT, status=TEXT, allocationStatus=TEXT,
                      shipmentId=TEXT, returnId=TEXT, productId=TEXT, **_STOCK),
    "Pending": record(("commandId", "status"), id=TEXT, commandId=TEXT, status={"const": "pending"}),
    "Order": record(
        ("id", "customerId", "items", "status", "version"), **as_kept(
            Order, id=TEXT, customerId=TEXT, items=list_of(ITEM), status=TEXT, allocationStatus=TEXT,
            returnStatus=TEXT, hold=record(reason=TEXT), policy=TEXT, shippingAddress=ADDRESS, billingAddress=ADDRESS,
            totalCost=MONEY, shipments=list_of({"type": "object"}), returns=list_of({"type": "object"}),
            version=COUNT, issuedAt=TIME, **_TIMES)),
    "CustomerOrder": record(("id", "customerId", "status"), id=TEXT, customerId=TEXT, status=TEXT,
                            allocationStatus=TEXT, totalCost=MONEY, **_TIMES),
    "Customer": record(("id", "customerId", "orders", "units", "spend", "lastOrder"), id=TEXT, customerId=TEXT,
                       orders=COUNT, units=COUNT, spend=list_of(MONEY),
                       lastOrder=record(("id", "time"), id=TEXT, time=TIME)),
    "Projection": record(
        ("name", "live", "previous", "versions"), name=TEXT, live={"type": ["integer", "null"]},
        previous={"type": ["integer", "null"]}, switchedAt=TIME, versions=list_of(record(
            ("version", "shape", "state", "createdAt", "behind"), version=COUNT, shape=COUNT,
            state={"enum": ["building", "following", "stopped"]}, createdAt=TIME, behind=COUNT, reason=TEXT,
            verified={"type": "object"}))),
    "Product": record(("id", "productId", "availableQuantity", "status", "version"), id=TEXT, productId=TEXT,
                      status=TEXT, version=COUNT, **_STOCK, **_TIMES),
    "Movement": record(("type", "time"), productId=TEXT, sequence=COUNT, type=TEXT, time=TIME, producerTime=TIME,
                       delta={"type": "integer"}, orderId=TEXT, lineId=TEXT, reason=TEXT, **_WHY),
    "Reservation": record(("orderId", "lineId"), productId=TEXT, orderId=TEXT, lineId=TEXT, held=COUNT, waiting=COUNT),
    "OrderEvent": record(("type", "time"), orderId=TEXT, sequence=COUNT, type=TEXT, time=TIME, producerTime=TIME,
                         data={"type": "object"},
                         source=TEXT, schemaVersion=COUNT, **_WHY),
    "Explanation": record(
        ("id", "reasons"), id=TEXT, version=COUNT, status=TEXT, allocationStatus=TEXT,
        reasons=list_of(record(
            ("code", "waitsFor", "message", "details"), code=TEXT,
            waitsFor={"enum": list(get_args(WaitsFor))}, message=TEXT, lineId=TEXT, productId=TEXT,
            details={"type": "object"}))),
    "WorkItem": record(("orderId", "lines"), orderId=TEXT, customerId=TEXT, since=TIME,
                       lines=list_of({"type": "object"})),
    "ParkedKey": record(tuple(_PARKED), **_PARKED),
    "ParkedLetters": record((*_PARKED, "items", "nextCursor"), **_PARKED, items=list_of(ref("Letter")),
                            nextCursor={"type": ["string", "null"]}),
    "Letter": record(("id", "kind", "topic", "partition", "offset", "code", "message", "time"), **_LETTER),
    "LettersHandled": record(("aggregate", "aggregateId", "commandId", "left"), aggregate=TEXT, aggregateId=TEXT,
                             commandId=TEXT, retried=COUNT, discarded=COUNT, left=COUNT, failed={"type": "object"}),
    "Outcome": record(("id", "status"), id=TEXT, status={"enum": ["accepted", "rejected", "pending"]}, type=TEXT,
                      reason={"const": "parked"},
                      code=TEXT, message=TEXT, source=TEXT, aggregate=TEXT, aggregateId=TEXT, version=COUNT,
                      time=TIME, producerTime=TIME,
                      events=list_of({"type": "object"}),
                      others={**list_of(ref("Outcome")), "description": "of other commands with the same id"}),
}  # fmt: skip
