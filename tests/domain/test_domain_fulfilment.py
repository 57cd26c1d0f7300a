"""The commands that the process manager sends because of each event."""

from typing import Any

import pytest
from domain_scenarios import PARTIAL, new, place, price, record, some
from fulfilment_scenarios import STOCK_VERSION, given_order, given_stock, given_stock_event, to_order, to_stock
from msgspec.structs import replace

from domain.fulfilment import Request
from domain.inventory.commands import (
    FillBackorders,
    ReceiveStock,
    ReleaseStock,
    ReserveStock,
    RestockReturn,
    ShipStock,
    UnshipStock,
)
from domain.inventory.events import Balance, ReservationRejected, StockBackordered, StockReceived, StockReserved
from domain.message import Command
from domain.orders.commands import (
    AddLine,
    CancelLines,
    CancelOrder,
    CancelShipment,
    ChangeQuantity,
    CountedLine,
    CreateShipment,
    DeliverShipment,
    Hold,
    ReceiveReturn,
    RecordAllocation,
    RequestReturn,
)
from domain.policy import MANUAL

TWO = place(new(quantity=4), new("socks"), policy=PARTIAL)
SHIPPED = (TWO, record(reserved=4), record("socks", reserved=2), CreateShipment(shipment_id="s", lines=some(boots=3)))
DELIVERED = (*SHIPPED, DeliverShipment(shipment_id="s"), RequestReturn(return_id="r", lines=some(boots=2)))
MORE = Request("inventory", "boots", FillBackorders())


def count(**units: int) -> ReceiveReturn:
    """Return the receipt of the order's boots under the return `r`."""
    return ReceiveReturn(return_id="r", lines=(CountedLine(line_id="1", **units),))


def test_a_placed_order_reserves_each_line() -> None:
    given_order(TWO).then_sends(
        to_stock(ReserveStock, "boots", quantity=4, policy=PARTIAL),
        to_stock(ReserveStock, "socks", quantity=2, policy=PARTIAL),
    )


def test_units_of_an_added_line_are_reserved_and_those_of_a_reduced_one_released() -> None:
    gloves = AddLine(line_id="9", product_id="gloves", quantity=3, price=price())
    given_order(TWO, gloves).then_sends(to_stock(ReserveStock, "gloves", quantity=3, policy=PARTIAL))
    given_order(TWO, ChangeQuantity(line_id="1", quantity=1)).then_sends(to_stock(ReleaseStock, "boots", keep=1))


def test_cancelled_units_are_released() -> None:
    given_order(TWO, CancelLines(lines=some(boots=1))).then_sends(to_stock(ReleaseStock, "boots", keep=3))
    given_order(TWO, CancelOrder()).then_sends(
        to_stock(ReleaseStock, "boots", keep=0),
        to_stock(ReleaseStock, "socks", keep=0),
    )


def test_shipments_and_their_cancellation_are_reported_as_totals() -> None:
    one_more = CreateShipment(lines=some(boots=1))
    given_order(*SHIPPED, one_more).then_sends(to_stock(ShipStock, "boots", shipped=4))
    given_order(*SHIPPED, CancelShipment(shipment_id="s")).then_sends(to_stock(UnshipStock, "boots", shipped=0))


def test_returned_units_are_restocked() -> None:
    restock = to_stock(RestockReturn, "boots", received=2, damaged=1)
    given_order(*DELIVERED, count(received=2, damaged=1)).then_sends(restock)
    given_order(*DELIVERED, count(received=0)).then_sends_nothing()


@pytest.mark.parametrize(
    "history",
    [
        (TWO, Hold()),
        (TWO, record(reserved=1, rejected=3)),
        (*SHIPPED, DeliverShipment(shipment_id="s")),
        DELIVERED,
    ],
    ids=["held", "allocated", "delivered", "return requested"],
)
def test_other_order_events_cause_no_commands_to_stock(history: tuple[Command, ...]) -> None:
    given_order(*history).then_sends_nothing()


TOTALS: dict[str, Any] = {"balance": Balance(), "order_id": "o-1", "line_id": "1", "quantity": 1}
RESERVED = StockReserved(**TOTALS, reserved=1, backordered=0, rejected=0)
BACKORDERED = StockBackordered(**TOTALS, reserved=1, backordered=1, rejected=0, place=4)
REJECTED = ReservationRejected(**TOTALS, reserved=1, backordered=0, rejected=1, reason="WHY")


@pytest.mark.parametrize(
    ("event", "recorded"),
    [
        (RESERVED, record(version=STOCK_VERSION, reserved=1)),
        (BACKORDERED, record(version=STOCK_VERSION, reserved=1, backordered=1)),
        (REJECTED, record(version=STOCK_VERSION, reserved=1, rejected=1, reason="WHY")),
    ],
    ids=["reserved", "backordered", "rejected"],
)
def test_the_answer_of_stock_for_a_line_is_recorded(event: StockReserved, recorded: RecordAllocation) -> None:
    given_stock_event(event).then_sends(to_order(recorded))
    given_stock_event(replace(event, line_id=MANUAL)).then_sends_nothing()


def test_a_queue_that_can_be_processed_further_causes_another_command() -> None:
    given_stock_event(StockReceived(balance=Balance(), quantity=1, more=True)).then_sends(MORE)
    answer = to_order(record(version=STOCK_VERSION, reserved=1))
    given_stock_event(replace(RESERVED, more=True)).then_sends(answer, MORE)


def test_units_that_only_stock_moves_cause_no_commands_to_orders() -> None:
    line: dict[str, Any] = {"order_id": "o-1", "line_id": "1"}
    history: list[Command] = [ReceiveStock(quantity=3), ReserveStock(**line, quantity=2, order_version=1)]
    for command in (
        ShipStock(**line, shipped=1, order_version=2),
        UnshipStock(**line, shipped=0, order_version=3),
        ReleaseStock(**line, keep=0, order_version=4),
    ):
        history.append(command)
        given_stock(*history).then_sends_nothing()
