"""The commands that each event causes."""

from typing import Any

import pytest
from domain_scenarios import PARTIAL, OrderScenario, StockScenario, new, place, record, some
from msgspec.structs import replace

from domain.fulfilment import Request, commands
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
    CancelLines,
    CancelOrder,
    CancelShipment,
    CountedLine,
    CreateShipment,
    DeliverShipment,
    Hold,
    ReceiveReturn,
    RecordAllocation,
    RequestReturn,
)

TWO = place(new(quantity=4), new("socks"), policy=PARTIAL)
LINE: dict[str, Any] = {"order_id": "o-1", "line_id": "1", "order_version": 7}
SHIPPED = (TWO, record(reserved=4), record("socks", reserved=2), CreateShipment(shipment_id="s", lines=some(boots=3)))
DELIVERED = (*SHIPPED, DeliverShipment(shipment_id="s"), RequestReturn(return_id="r", lines=some(boots=2)))


def caused(*history: Command) -> list[Request]:
    """Return the commands caused by the last event of the given commands, the order's seventh event."""
    (event,) = OrderScenario(*history[:-1]).when(history[-1]).events
    return commands(event, "o-1", 7)


def test_a_placed_order_reserves_each_line() -> None:
    boots = ReserveStock(**LINE, quantity=4, policy=PARTIAL)
    socks = ReserveStock(order_id="o-1", line_id="2", order_version=7, quantity=2, policy=PARTIAL)
    assert caused(TWO) == [Request("inventory", "boots", boots), Request("inventory", "socks", socks)]


def test_cancelled_units_are_released() -> None:
    keep = ReleaseStock(**LINE, keep=3)
    assert caused(TWO, CancelLines(lines=some(boots=1))) == [Request("inventory", "boots", keep)]
    assert [(r.key, getattr(r.command, "keep", None)) for r in caused(TWO, CancelOrder())] == [
        ("boots", 0),
        ("socks", 0),
    ]


def test_shipments_and_their_cancellation_are_reported_as_totals() -> None:
    shipped = ShipStock(**LINE, shipped=4)
    assert caused(*SHIPPED, CreateShipment(lines=some(boots=1))) == [Request("inventory", "boots", shipped)]
    undone = UnshipStock(**LINE, shipped=0)
    assert caused(*SHIPPED, CancelShipment(shipment_id="s")) == [Request("inventory", "boots", undone)]


def test_returned_units_are_restocked() -> None:
    counted = CountedLine(line_id="1", received=2, damaged=1)
    expected = RestockReturn(**LINE, received=2, damaged=1)
    assert caused(*DELIVERED, ReceiveReturn(return_id="r", lines=(counted,))) == [
        Request("inventory", "boots", expected)
    ]
    assert caused(*DELIVERED, ReceiveReturn(return_id="r", lines=(CountedLine(line_id="1", received=0),))) == []


@pytest.mark.parametrize(
    "history",
    [
        (TWO, Hold()),
        (TWO, record(reserved=1, rejected=3)),
        (*SHIPPED, DeliverShipment(shipment_id="s")),
        DELIVERED,
    ],
)
def test_other_order_events_cause_no_commands_to_stock(history: tuple[Command, ...]) -> None:
    assert caused(*history) == []


TOTALS: dict[str, Any] = {"balance": Balance(), "order_id": "o-1", "line_id": "1", "quantity": 1}


@pytest.mark.parametrize(
    ("event", "recorded"),
    [
        (
            StockReserved(**TOTALS, reserved=1, backordered=0, rejected=0),
            record(version=9, reserved=1),
        ),
        (
            StockBackordered(**TOTALS, reserved=1, backordered=1, rejected=0, place=4),
            record(version=9, reserved=1, backordered=1),
        ),
        (
            ReservationRejected(**TOTALS, reserved=1, backordered=0, rejected=1, reason="WHY"),
            record(version=9, reserved=1, rejected=1, reason="WHY"),
        ),
    ],
)
def test_the_answer_of_stock_for_a_line_is_recorded(event: StockReserved, recorded: RecordAllocation) -> None:
    assert commands(event, "boots", 9) == [Request("order", "o-1", recorded)]
    by_hand = replace(event, line_id="manual")
    assert commands(by_hand, "boots", 9) == []


def test_a_queue_that_can_be_processed_further_causes_another_command() -> None:
    more = Request("inventory", "boots", FillBackorders())
    assert commands(StockReceived(balance=Balance(), quantity=1, more=True), "boots", 9) == [more]
    reserved = StockReserved(**TOTALS, reserved=1, backordered=0, rejected=0, more=True)
    assert commands(reserved, "boots", 9)[1:] == [more]


def test_units_that_only_stock_moves_cause_no_commands_to_orders() -> None:
    line = {"order_id": "o-1", "line_id": "1"}
    scenario = StockScenario(ReceiveStock(quantity=3), ReserveStock(**line, quantity=2, order_version=1))
    for command in (
        ShipStock(**line, shipped=1, order_version=2),
        UnshipStock(**line, shipped=0, order_version=3),
        ReleaseStock(**line, keep=0, order_version=4),
    ):
        (event,) = scenario.when(command).events
        assert commands(event, "boots", 9) == []
