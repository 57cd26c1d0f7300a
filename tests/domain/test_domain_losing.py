"""Units that are lost in transit."""

from typing import Any

import pytest
from domain_scenarios import BACKORDER, OrderScenario, new, place, price, record, some
from fulfilment_scenarios import ORDER_VERSION, Fulfilment, given_order, to_stock
from msgspec.structs import replace

from domain.errors import (
    ShipmentAlreadyDelivered,
    ShipmentIsCancelled,
    ShipmentIsClosed,
    ShipmentNotFound,
)
from domain.inventory.commands import ReserveStock, ShipStock, UnshipStock
from domain.money import Money
from domain.orders.commands import (
    CancelShipment,
    ChangeQuantity,
    CloseShipment,
    CreateShipment,
    DeliverShipment,
    Hold,
    OrderStatus,
    RecordAllocation,
    Rest,
    UpdateStatus,
    WhenOver,
)
from domain.orders.deadlines import ReachDeadline
from domain.orders.events import (
    AddedLine,
    LinesAdded,
    LinesCancelled,
    LostLine,
    OrderHeld,
    OrderReleased,
    ShipmentClosed,
    ShipmentDelivered,
)
from domain.orders.losing import close_shipment

given = OrderScenario
SHIPPED = (
    place(new(quantity=5), new("socks", 1)),
    record(reserved=5),
    record("socks", reserved=1),
    CreateShipment(shipment_id="s", lines=some(boots=3, socks=1)),
)
PARTLY = (*SHIPPED, DeliverShipment(shipment_id="s", lines=some(boots=1, socks=1)))
WRITE_OFF = CloseShipment(shipment_id="s", rest=Rest.WRITE_OFF, reason="stolen")
RESEND = CloseShipment(shipment_id="s", rest=Rest.RESEND)


def lost(quantity: int, total: int) -> LostLine:
    return LostLine(line_id="1", product_id="boots", quantity=quantity, lost=total)


def test_lost_units_are_written_off() -> None:
    scenario = given(*PARTLY).when(WRITE_OFF)
    scenario.then(ShipmentClosed(shipment_id="s", lines=(lost(2, 2),), rest=Rest.WRITE_OFF, reason="stolen"))
    scenario.asked_again().then_quiet()
    line = scenario.line()
    assert (line.ordered, line.shipped, line.delivered, line.lost, line.allocated) == (5, 1, 1, 2, 2)
    assert scenario.order is not None
    assert scenario.order.shipments[0].status == "CLOSED"
    scenario.when(CreateShipment(shipment_id="t")).when(DeliverShipment(shipment_id="t"))
    assert scenario.order.status == "DELIVERED"


def test_only_units_of_the_shipment_are_lost() -> None:
    history = *SHIPPED[:3], CreateShipment(shipment_id="s", lines=some(boots=3))
    scenario = given(*history).when(WRITE_OFF)
    scenario.then(ShipmentClosed(shipment_id="s", lines=(lost(3, 3),), rest=Rest.WRITE_OFF, reason="stolen"))


def test_lost_units_are_sent_again_as_a_line_without_a_price() -> None:
    scenario = given(*PARTLY).when(RESEND)
    again = AddedLine(line_id="1.2", product_id="boots", quantity=2, price=price(0), part_of="1")
    total = Money(amount=6000, currency="EUR")
    scenario.then(
        LinesAdded(lines=(again,), policy=BACKORDER, total_cost=total),
        ShipmentClosed(shipment_id="s", lines=(lost(2, 2),), rest=Rest.RESEND, reason=""),
    )
    scenario.asked_again().then_quiet()
    assert scenario.line("1.2").pending == 2


def test_lost_units_of_a_line_and_of_its_part_are_sent_again_as_one_line() -> None:
    part = ChangeQuantity(line_id="1", quantity=3)
    answer = RecordAllocation(line_id="1.2", reserved=1, backordered=0, rejected=0, stock_version=2)
    history = place(), record(reserved=2), part, answer, CreateShipment(shipment_id="s")
    (again,) = given(*history).when(RESEND).events[0].lines
    assert (again.line_id, again.quantity, again.part_of) == ("1.3", 3, "1")


def test_an_order_of_which_everything_is_lost_is_cancelled() -> None:
    scenario = given(place(), record(reserved=2), CreateShipment(shipment_id="s")).when(WRITE_OFF)
    assert scenario.order is not None
    assert scenario.order.status == "CANCELLED"
    scenario.asked_again().then_quiet()
    scenario.when(RESEND).then_rejected(ShipmentIsClosed, shipmentId="s")


@pytest.mark.parametrize("now", ["2026-12-01T00:00:00.000Z", "2027-01-02T00:00:00.000Z"])
def test_a_hold_that_found_no_units_to_cancel_does_not_cancel_units_that_are_sent_again(now: str) -> None:
    until = "2027-01-01T00:00:00.000Z"
    hold = Hold(hold_id="h", reason="paid?", until=until, when_over=WhenOver.CANCEL)
    everything = (place(), record(reserved=2), CreateShipment(shipment_id="s"), hold)
    scenario = given(*everything).when(RESEND).then_types(LinesAdded, OrderHeld, ShipmentClosed)
    scenario.asked_again().then_quiet()
    scenario.when(ReachDeadline(now=now)).then(*([OrderReleased(hold_id="h", until=until)] if now > until else []))
    assert scenario.line("1.2").pending == 2


def test_a_hold_that_has_units_to_cancel_also_cancels_units_that_are_sent_again() -> None:
    hold = Hold(hold_id="h", until="2027-01-01T00:00:00.000Z", when_over=WhenOver.CANCEL)
    given(*PARTLY, hold).when(RESEND).then_types(LinesAdded, ShipmentClosed)
    given(*PARTLY, hold, RESEND).when(ReachDeadline(now="2027-01-01T00:00:00.000Z")).then_types(LinesCancelled)


@pytest.mark.parametrize(
    ("history", "kind"),
    [
        ((*SHIPPED, DeliverShipment(shipment_id="s")), ShipmentAlreadyDelivered),
        ((*SHIPPED, CancelShipment(shipment_id="s")), ShipmentIsCancelled),
        (SHIPPED[:3], ShipmentNotFound),
    ],
)
def test_only_a_shipment_in_transit_is_closed(history: Any, kind: Any) -> None:
    given(*history).when(WRITE_OFF).then_rejected(kind, shipmentId="s")


def test_a_closed_shipment_stays_closed() -> None:
    for command in (DeliverShipment(shipment_id="s"), CancelShipment(shipment_id="s")):
        given(*SHIPPED, WRITE_OFF).when(command).then_rejected(ShipmentIsClosed, shipmentId="s")


@pytest.mark.parametrize(("first", "second"), [(WRITE_OFF, RESEND), (RESEND, WRITE_OFF)])
def test_the_handling_of_lost_units_is_decided_once(first: Any, second: Any) -> None:
    given(*PARTLY, first).when(second).then_rejected(ShipmentIsClosed, shipmentId="s")
    given(*PARTLY, first).when(replace(first, reason="another")).then_quiet()


@pytest.mark.parametrize("repeat", [WRITE_OFF, RESEND])
def test_a_shipment_that_older_code_closed_stays_as_it_is(repeat: Any) -> None:
    order = given(*PARTLY, WRITE_OFF).order
    assert order is not None
    (shipment,) = order.shipments
    assert close_shipment(repeat, replace(order, shipments=(replace(shipment, rest=None),))) == []


def test_delivering_the_whole_order_leaves_out_what_was_lost() -> None:
    history = *PARTLY, WRITE_OFF, CreateShipment(shipment_id="t")
    scenario = given(*history).when(UpdateStatus(status=OrderStatus.DELIVERED)).then_types(ShipmentDelivered)
    assert scenario.order is not None
    assert scenario.order.status == "DELIVERED"


# --- stock


def test_stock_learns_of_all_units_that_left_the_warehouse() -> None:
    given_order(*PARTLY, WRITE_OFF, CreateShipment(shipment_id="t")).then_sends(to_stock(ShipStock, "boots", shipped=5))
    history = *PARTLY, WRITE_OFF, CreateShipment(shipment_id="t"), CancelShipment(shipment_id="t")
    given_order(*history).then_sends(to_stock(UnshipStock, "boots", shipped=3))
    given_order(*PARTLY, WRITE_OFF).then_sends_nothing()


def test_units_to_send_again_are_reserved() -> None:
    again, _ = given(*PARTLY).when(RESEND).events
    (request,) = Fulfilment(again, "o-1", ORDER_VERSION).sent
    assert request.command == ReserveStock(order_id="o-1", line_id="1.2", quantity=2, order_version=ORDER_VERSION)


def test_lost_units_stay_part_of_the_figures_that_stock_reports() -> None:
    scenario = given(*PARTLY, WRITE_OFF).when(record(reserved=5, version=2)).then_quiet()
    assert scenario.line().allocated == 2
