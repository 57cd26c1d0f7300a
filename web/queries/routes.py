"""The paths of read models, as a table, and the schemas of their documents.

The OpenAPI document and the codes of 404s are generated from it, so a new read model needs one row here and its schema.
"""

from typing import get_args

from domain.inventory.state import ProductStatus
from domain.orders import Order
from domain.orders.status import AllocationStatus, OrderStatus
from projections.explanation import WaitsFor
from projections.mongo.indexes import REFUSED
from web.documents.parameters import any_of, in_query
from web.documents.schemas import COUNT, MONEY, OUTCOME, STOCK, TEXT, TIME, TIMES, Schema, as_kept, list_of, record

from .explain import explained
from .handling import QueryRoute, Shape

_UNITS = ("pending", "backordered", "allocated", "shipped", "delivered", "cancelled", "returned")
_CAUSE = {"commandId": TEXT, "commandType": TEXT, "causationId": TEXT, "correlationId": TEXT}
_OPEN = record(street=TEXT, city=TEXT, state=TEXT, zipCode=TEXT, country=TEXT, name=TEXT, company=TEXT, street2=TEXT,
               street3=TEXT, phone=TEXT, email=TEXT, instructions=TEXT)  # fmt: skip
_ERASED = {**record(("erased",), erased={"const": True}), "description": "The customer's personal data was erased."}
_SEALED = {**TEXT, "pattern": "^sealed:", "description": "The address is encrypted, and cannot be decrypted now."}
_ADDRESS: Schema = {"anyOf": [_OPEN, _ERASED, _SEALED]}
_ITEM = record(("lineId", "productId", "quantity", "price"), lineId=TEXT, productId=TEXT, quantity=COUNT, price=MONEY,
               **dict.fromkeys(_UNITS, COUNT))  # fmt: skip

ORDER = Shape("Order", record(("id", "customerId", "items", "status", "version"), **as_kept(
    Order, id=TEXT, customerId=TEXT, items=list_of(_ITEM), status=TEXT, allocationStatus=TEXT, returnStatus=TEXT,
    hold=record(reason=TEXT), holds=list_of(record(
        ("holdId", "reason"), holdId=TEXT, reason=TEXT, until=TIME, whenOver=TEXT)), policy=TEXT,
    shippingAddress=_ADDRESS, billingAddress=_ADDRESS, totalCost=MONEY,
    shipments=list_of({"type": "object"}), returns=list_of({"type": "object"}), version=COUNT, issuedAt=TIME,
    shipBy=TIME, whenLate=TEXT, late={"type": "boolean"}, backordersExpireAt=TIME, archivedAt=TIME,
    allocation=record(("strategy",), strategy=TEXT, locations=list_of(TEXT), oneLocation={"type": "boolean"}),
    **TIMES)))  # fmt: skip
ORDER_EVENT = Shape("OrderEvent", record(
    ("type", "time"), orderId=TEXT, sequence=COUNT, type=TEXT, time=TIME, producerTime=TIME, principal=TEXT,
    data={"type": "object"},
    source=TEXT, schemaVersion=COUNT, **_CAUSE))  # fmt: skip
EXPLANATION = Shape("Explanation", record(
    ("id", "reasons"), id=TEXT, version=COUNT, status=TEXT, allocationStatus=TEXT, reasons=list_of(record(
        ("code", "waitsFor", "message", "details"), code=TEXT, waitsFor={"enum": list(get_args(WaitsFor))},
        message=TEXT, lineId=TEXT, productId=TEXT, details={"type": "object"}))))  # fmt: skip
CUSTOMER_ORDER = Shape("CustomerOrder", record(
    ("id", "customerId", "status"), id=TEXT, customerId=TEXT, status=TEXT, allocationStatus=TEXT, totalCost=MONEY,
    archivedAt=TIME, **TIMES))  # fmt: skip
CUSTOMER = Shape("Customer", record(
    ("id", "customerId", "orders", "units", "spend", "lastOrder"), id=TEXT, customerId=TEXT, orders=COUNT, units=COUNT,
    spend=list_of(MONEY), lastOrder=record(("id", "time"), id=TEXT, time=TIME)))  # fmt: skip
WORK_ITEM = Shape("WorkItem", record(
    ("orderId", "lines"), orderId=TEXT, customerId=TEXT, since=TIME, shipBy=TIME,
    late={"type": "boolean"}, lines=list_of({"type": "object"})))  # fmt: skip
PRODUCT = Shape("Product", record(
    ("id", "productId", "availableQuantity", "status", "version"), id=TEXT, productId=TEXT, status=TEXT, version=COUNT,
    **STOCK, **TIMES))  # fmt: skip
MOVEMENT = Shape("Movement", record(
    ("type", "time"), productId=TEXT, sequence=COUNT, type=TEXT, time=TIME, producerTime=TIME, principal=TEXT,
    delta={"type": "integer"}, orderId=TEXT, lineId=TEXT, reason=TEXT, **_CAUSE))  # fmt: skip
RESERVATION = Shape("Reservation", record(
    ("orderId", "lineId"), productId=TEXT, orderId=TEXT, lineId=TEXT, held=COUNT, waiting=COUNT,
    expiresAt=TIME))  # fmt: skip
COMMAND_OUTCOME = Shape("Outcome", OUTCOME)

_CUSTOMER = any_of("customerId", "orders of this customer")
_STATUSES = (
    any_of("status", "orders with this status", OrderStatus),
    any_of("allocationStatus", "orders with this allocation status", AllocationStatus),
)

_LATE = in_query("late", "`true`: only orders that are past their `shipBy`", {"enum": ["true"]})

QUERY_ROUTES: tuple[QueryRoute, ...] = (
    QueryRoute("/orders", "orders", "List orders", ORDER, filters=(*_STATUSES, _CUSTOMER), period=True,
               past=True),
    QueryRoute("/orders/{orderId}", "orders", "Get an order; its ETag is its version", ORDER, many=False, past=True),
    QueryRoute("/orders/{orderId}/events", "order_events", "List the events of an order with their causes",
               ORDER_EVENT, of="orderId", history=True),
    QueryRoute("/orders/{orderId}/explain", "orders", "Explain what an order waits for, and which party has to act",
               EXPLANATION, many=False, ask=explained),
    QueryRoute("/customers/{customerId}/orders", "customer_orders", "List the orders of a customer", CUSTOMER_ORDER,
               of="customerId", period=True),
    QueryRoute("/customers/{customerId}/summary", "customer_summary", "Get the totals of a customer's orders as placed",
               CUSTOMER, many=False),
    QueryRoute("/work-queue", "work_queue", "List what the warehouse can pick now", WORK_ITEM,
               filters=(_CUSTOMER, any_of("location", "orders with units to pick at this location")),
               flags=(_LATE,), past=True),
    QueryRoute("/inventory", "inventory", "List products", PRODUCT,
               filters=(any_of("status", "products with this status", ProductStatus),), past=True),
    QueryRoute("/inventory/{productId}", "inventory", "Get a product; its ETag is its version", PRODUCT, many=False,
               past=True),
    QueryRoute("/inventory/{productId}/ledger", "stock_ledger", "List the stock movements of a product, with causes",
               MOVEMENT, of="productId", history=True),
    QueryRoute("/inventory/{productId}/reservations", "reservations", "List the open reservations of a product",
               RESERVATION, of="productId", fixed={"open": True}),
    QueryRoute("/inventory/{productId}/backorders", "reservations", "List waiting reservations, first come first",
               RESERVATION, of="productId", fixed={"waiting": {"$gt": 0}}, sort="place"),
    QueryRoute("/orders/{orderId}/refusals", "commands", "List the commands that the order rejected in 7 days",
               COMMAND_OUTCOME, of="aggregateId", fixed={**REFUSED, "aggregate": "order"}, sort="-time"),
)  # fmt: skip
