"""An example of every message, for the AsyncAPI document: the domain decides these commands, which cause the events.

A command that is in no story has the example of its route, decided after the first command of a story.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import replace

from domain import inventory, orders
from domain.errors import Rejection
from domain.inventory.commands import (
    AdjustStock,
    CloseLocation,
    CountStock,
    DiscontinueProduct,
    FillBackorders,
    InventoryCommand,
    MoveReservation,
    OpenLocation,
    ReactivateProduct,
    ReceiveStock,
    ReceiveTransfer,
    ReleaseStock,
    ReserveStock,
    RestockReturn,
    SetStock,
    ShipStock,
    TransferStock,
    UnshipStock,
)
from domain.message import Command, Event
from domain.orders.commands import (
    AddLine,
    CancelLines,
    CancelOrder,
    CancelShipment,
    ChangePolicy,
    ChangeQuantity,
    CloseShipment,
    CountedLine,
    CreateShipment,
    DeliverShipment,
    Hold,
    LineQuantity,
    OrderCommand,
    PlaceOrder,
    Price,
    ReceiveReturn,
    RecordAllocation,
    Release,
    ReplaceProduct,
    RequestReturn,
    Rest,
    UpdateStatus,
    WhenLate,
    WhenOver,
)
from domain.orders.deadlines import ReachDeadline
from domain.orders.events import OrderArchived
from domain.orders.status import OrderStatus
from domain.policy import AllocationPlan, AllocationPolicy, Granted
from streams.messages.strict import read_command
from web.commands.routes import COMMAND_ROUTES

ADDRESS = {"street": "1 High Street", "city": "Dublin", "state": "Leinster", "zipCode": "D01", "country": "IE"}
LINE = {"productId": "walking-boots", "quantity": 3, "price": {"amount": 8995, "currency": "EUR"}}
ONE = (LineQuantity(line_id="1", quantity=1),)
PLACE = msgspec.convert(
    {"customerId": "ada", "lines": [LINE], "shippingAddress": ADDRESS, "billingAddress": ADDRESS}, PlaceOrder
)
ORDER: Sequence[OrderCommand] = (
    PLACE,
    RecordAllocation(line_id="1", reserved=3, backordered=0, rejected=0, stock_version=2),
    Hold(reason="fraud check"),
    Release(),
    CancelLines(lines=ONE, reason="one too many"),
    CreateShipment(shipment_id="parcel-1", carrier="DHL", tracking_number="JD0001"),
    CancelShipment(shipment_id="parcel-1"),
    UpdateStatus(status=OrderStatus.SHIPPED, shipment_id="parcel-2"),
    DeliverShipment(shipment_id="parcel-2"),
    RequestReturn(return_id="return-1", lines=ONE, reason="too small"),
    ReceiveReturn(
        return_id="return-1", receipt_id="return-parcel-1", lines=(CountedLine(line_id="1", received=1, damaged=1),)
    ),
)
SHIP_BY = "2026-11-27T18:00:00.000Z"
LATE = (
    replace(PLACE, ship_by=SHIP_BY, when_late=WhenLate.CANCEL, backorders_expire_at=SHIP_BY),
    Hold(hold_id="review", until="2026-11-28T18:00:00.000Z", when_over=WhenOver.CANCEL),
    ReachDeadline(now=SHIP_BY),
)
CHANGED: Sequence[OrderCommand] = (
    PLACE,
    AddLine(line_id="socks", product_id="socks", quantity=2, price=Price(amount=499, currency="EUR")),
    ChangeQuantity(line_id="1", quantity=2),
    ReplaceProduct(line_id="socks", new_line_id="laces", product_id="laces", quantity=1),
    RecordAllocation(line_id="1", reserved=2, backordered=0, rejected=0, stock_version=2),
    CreateShipment(shipment_id="parcel-1", lines=ONE),
    CloseShipment(shipment_id="parcel-1", rest=Rest.RESEND, reason="the carrier lost it"),
)
SHORT: Sequence[OrderCommand] = (
    PLACE,
    RecordAllocation(line_id="1", reserved=2, backordered=1, rejected=0, stock_version=2),
    ChangePolicy(policy=AllocationPolicy.PARTIAL),
)
TOGETHER = AllocationPlan(one_location=True)
GATHERED: Sequence[OrderCommand] = (
    replace(PLACE, allocation=TOGETHER),
    RecordAllocation(
        line_id="1",
        reserved=3,
        backordered=0,
        rejected=0,
        stock_version=2,
        at=(Granted(location="default", quantity=2), Granted(location="berlin", quantity=1)),
        could=("berlin",),
    ),
)
CANCELLED: Sequence[OrderCommand] = (PLACE, CancelOrder(reason="changed my mind"))
PRODUCT: Sequence[InventoryCommand] = (
    SetStock(quantity=1),
    AdjustStock(delta=1, reason="counted"),
    ReserveStock(order_id="order-1001", line_id="1", quantity=3, order_version=1),
    ReceiveStock(quantity=10),
    ReserveStock(order_id="order-1002", line_id="1", quantity=2, order_version=1),
    ReleaseStock(order_id="order-1002", line_id="1", keep=0, order_version=3),
    FillBackorders(),
    CountStock(quantity=2, reason="stocktaking"),
    CountStock(quantity=11, reason="found the box"),
    ShipStock(order_id="order-1001", line_id="1", shipped=3, order_version=5),
    UnshipStock(order_id="order-1001", line_id="1", shipped=2, order_version=6),
    RestockReturn(order_id="order-1001", line_id="1", received=1, damaged=0, order_version=9),
    DiscontinueProduct(reason="end of line"),
    ReserveStock(order_id="order-1003", line_id="1", quantity=1, order_version=1),
    ReactivateProduct(),
    ReceiveStock(quantity=5),
    TransferStock(transfer_id="transfer-1", target="berlin", quantity=2),
    ReceiveTransfer(transfer_id="transfer-1", quantity=2),
    CloseLocation(location="berlin", reason="stocktaking"),
    OpenLocation(location="berlin"),
    ReserveStock(order_id="order-1004", line_id="1", quantity=2, order_version=1, plan=TOGETHER),
    MoveReservation(order_id="order-1004", line_id="1", location="berlin", proposal=1, order_version=3),
)


@lru_cache(maxsize=1)
def examples() -> dict[str, dict[str, Any]]:
    """Return the `data` of one message of every type."""
    told: list[Command | Event] = [*ORDER, *CHANGED, *SHORT, *CANCELLED, *PRODUCT, *_in_no_story(), OrderArchived()]
    told += [event for story in order_stories() for event in happened_to_order(story)]
    told += [event for story in _product_stories() for event in _happened_to_product(story)]
    found: dict[str, dict[str, Any]] = {}
    for message in told:
        data = msgspec.json.decode(msgspec.json.encode(message))
        found.setdefault(type(message).__name__, data)
    return found


def order_stories() -> Iterator[Sequence[OrderCommand | ReachDeadline]]:
    """Yield stories that together have every command for an order."""
    yield from (ORDER, CHANGED, SHORT, GATHERED, CANCELLED, LATE)
    yield from ((PLACE, each) for each in _in_no_story() if isinstance(each, OrderCommand))


def _product_stories() -> Iterator[Sequence[InventoryCommand]]:
    yield PRODUCT
    yield from ((PRODUCT[0], each) for each in _in_no_story() if isinstance(each, InventoryCommand))


def _in_no_story() -> Iterator[Command]:
    """Yield the examples of routes whose body is a command that no story has."""
    told = {type(command) for command in (*ORDER, *CHANGED, *SHORT, *CANCELLED, *PRODUCT)}
    for route in COMMAND_ROUTES:
        if route.command not in told and route.body is None and route.path.count("{") == 1:
            yield read_command(route.command, route.example or {})


def happened_to_order(commands: Sequence[OrderCommand | ReachDeadline]) -> Iterator[Event]:
    """Yield the events of a story, up to a command that is rejected."""
    state = orders.OrderState("order-1001")
    for command in commands:
        try:
            events = orders.decide(command, state)
        except Rejection:
            return
        for event in events:
            state = orders.evolve(state, event)
            yield event


def _happened_to_product(commands: Sequence[InventoryCommand]) -> Iterator[Event]:
    shelf = inventory.Shelf("walking-boots")
    for command in commands:
        try:
            events = shelf.decide(command)
        except Rejection:
            return
        for event in events:
            shelf.apply(event)
            yield event
