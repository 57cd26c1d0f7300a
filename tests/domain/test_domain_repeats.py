"""Reused ids: a repeat with the same contents gets the same answer, and one with other contents is rejected."""

from typing import Any

import pytest
from domain_scenarios import PARTIAL, OrderScenario, StockScenario, new, place, record, some
from msgspec.structs import replace

from domain.errors import (
    LineNotFound,
    MoreThanShipped,
    OrderLineByHand,
    ReservationExists,
    ReturnAlreadyReceived,
    ReturnExists,
    ShipmentExists,
)
from domain.inventory.commands import DiscontinueProduct, ReceiveStock, ReleaseStock, ReserveStock, ShipStock
from domain.message import Command
from domain.orders.commands import (
    CancelOrder,
    CancelShipment,
    CountedLine,
    CreateShipment,
    DeliverShipment,
    Hold,
    OrderStatus,
    ReceiveReturn,
    RequestReturn,
    UpdateStatus,
    hold_id_of,
)
from domain.orders.events import (
    DeliveredLine,
    OrderHeld,
    ReturnReceived,
    ShipmentCreated,
    ShipmentDelivered,
    ShippedLine,
)

given = OrderScenario
ALLOCATED = (place(new(quantity=3), new("socks")), record(reserved=3), record("socks", reserved=2))
PART = CreateShipment(shipment_id="s", lines=some(boots=2), carrier="DHL", tracking_number="1Z")
WHOLE = CreateShipment(shipment_id="s")
DELIVERED = (*ALLOCATED, WHOLE, DeliverShipment(shipment_id="s"))
RETURN = RequestReturn(return_id="r", lines=some(boots=2), reason="small")
ALL = [{"lineId": "1", "quantity": 3}, {"lineId": "2", "quantity": 2}]


def a_count(received: int, damaged: int = 0, line_id: str = "1") -> CountedLine:
    return CountedLine(line_id=line_id, received=received, damaged=damaged)


@pytest.mark.parametrize(
    "other",
    [
        CreateShipment(shipment_id="s"),
        replace(PART, lines=some(boots=1)),
        replace(PART, lines=some(boots=2, socks=2)),
        replace(PART, lines=some(gloves=2)),
        replace(PART, lines=None),
        replace(PART, carrier=None),
        replace(PART, carrier="UPS"),
        replace(PART, tracking_number="2Z"),
        UpdateStatus(status=OrderStatus.SHIPPED, shipment_id="s"),
        UpdateStatus(status=OrderStatus.PARTIALLY_SHIPPED, shipment_id="s"),
    ],
)
def test_another_shipment_with_the_same_id_is_refused(other: Command) -> None:
    lines = [{"lineId": "1", "quantity": 2}]
    exists = {"shipmentId": "s", "lines": lines, "carrier": "DHL", "trackingNumber": "1Z"}
    given(*ALLOCATED, PART).when(other).then_rejected(ShipmentExists, status="SHIPPED", **exists)
    arrived = given(*ALLOCATED, PART, DeliverShipment(shipment_id="s"))
    arrived.when(other).then_rejected(ShipmentExists, status="DELIVERED", **exists)


@pytest.mark.parametrize(
    ("first", "same"),
    [
        (PART, PART),
        (PART, replace(PART, lines=(*some(boots=1), *some(boots=1)))),
        (WHOLE, WHOLE),
        (WHOLE, CreateShipment(shipment_id="s", lines=some(socks=2, boots=3))),
        (WHOLE, UpdateStatus(status=OrderStatus.SHIPPED, shipment_id="s")),
        (UpdateStatus(status=OrderStatus.SHIPPED, shipment_id="s"), WHOLE),
    ],
)
def test_a_repeated_shipment_is_one_shipment(first: Command, same: Command) -> None:
    given(*ALLOCATED, first).when(same).then_quiet()
    given(*ALLOCATED, first, DeliverShipment(shipment_id="s")).when(same).then_quiet()


def test_a_shipment_that_does_not_record_the_requested_lines_is_taken_as_the_same() -> None:
    """Events written before `allAllocated` existed: repeats of the commands that caused them must not be refused."""
    lines = (ShippedLine(line_id="1", product_id="boots", quantity=3, shipped=3),)
    older = given(*ALLOCATED, ShipmentCreated(shipment_id="s", lines=lines))
    older.when(WHOLE).then_quiet()
    older.when(CreateShipment(shipment_id="s", lines=some(boots=3))).then_quiet()
    older.when(CreateShipment(shipment_id="s", lines=some(boots=2)))
    assert isinstance(older.refusal, ShipmentExists)


def test_a_cancelled_shipment_is_not_created_again_under_its_id() -> None:
    cancelled = given(*ALLOCATED, WHOLE, CancelShipment(shipment_id="s"))
    cancelled.when(WHOLE).then_rejected(
        ShipmentExists, shipmentId="s", status="CANCELLED", lines=ALL, carrier=None, trackingNumber=None
    )
    cancelled.when(UpdateStatus(status=OrderStatus.SHIPPED, shipment_id="s"))
    assert isinstance(cancelled.refusal, ShipmentExists)
    cancelled.when(CreateShipment(shipment_id="t")).then_types(ShipmentCreated)


def test_a_repeated_delivery_must_equal_the_previous_one() -> None:
    whole = given(*DELIVERED)
    whole.when(DeliverShipment(shipment_id="s", lines=some(boots=3, socks=2))).then_quiet()
    one = DeliverShipment(shipment_id="s", lines=some(boots=1))
    whole.when(one).then_rejected(MoreThanShipped, lineId="1", asked=1, undelivered=0)
    whole.when(DeliverShipment(shipment_id="s", lines=some(gloves=1))).then_rejected(LineNotFound, lineId="9")
    parts = given(*ALLOCATED, WHOLE, one, DeliverShipment(shipment_id="s", lines=some(boots=2, socks=2)))
    parts.when(DeliverShipment(shipment_id="s", lines=some(boots=2, socks=2))).then_quiet()
    parts.when(DeliverShipment(shipment_id="s")).then_quiet()
    parts.when(one).then_rejected(MoreThanShipped, lineId="1", asked=1, undelivered=0)


def test_a_shipment_delivered_before_deliveries_were_remembered_takes_any_part_of_it() -> None:
    older = given(*DELIVERED)
    assert older.order is not None
    (shipment,) = older.order.shipments
    lines = tuple(replace(line, latest=0) for line in shipment.lines)  # like older entries
    older.state = replace(older.state, order=replace(older.order, shipments=(replace(shipment, lines=lines),)))
    for part in (some(boots=1), some(boots=3), some(boots=3, socks=2)):
        older.when(DeliverShipment(shipment_id="s", lines=part)).then_quiet()
    more, unknown = (DeliverShipment(shipment_id="s", lines=lines) for lines in (some(boots=4), some(gloves=1)))
    older.when(more).then_rejected(MoreThanShipped, lineId="1", asked=4, undelivered=0)
    older.when(unknown).then_rejected(LineNotFound, lineId="9")


def test_a_delivery_may_come_in_parts_of_the_same_size() -> None:
    one = DeliverShipment(shipment_id="s", lines=some(boots=1))
    line = DeliveredLine(line_id="1", quantity=1, delivered=2)
    given(*ALLOCATED, WHOLE, one).when(one).then(ShipmentDelivered(shipment_id="s", lines=(line,)))


@pytest.mark.parametrize(
    "other",
    [
        replace(RETURN, lines=some(boots=1)),
        replace(RETURN, lines=some(boots=2, socks=1)),
        replace(RETURN, lines=some(gloves=1)),
        replace(RETURN, reason="large"),
    ],
)
def test_another_return_with_the_same_id_is_refused(other: Command) -> None:
    exists: dict[str, Any] = {"returnId": "r", "lines": [{"lineId": "1", "quantity": 2}], "reason": "small"}
    given(*DELIVERED, RETURN).when(RETURN).then_quiet()
    given(*DELIVERED, RETURN).when(other).then_rejected(ReturnExists, status="OPEN", **exists)
    received = given(*DELIVERED, RETURN, ReceiveReturn(return_id="r"))
    received.when(RETURN).then_quiet()
    received.when(other).then_rejected(ReturnExists, status="RECEIVED", **exists)


@pytest.mark.parametrize(
    ("first", "same", "others"),
    [
        (None, (a_count(2),), [(a_count(1),), (a_count(0),), (a_count(2, 1),)]),
        ((a_count(1, 1),), (a_count(1, 1),), [None, (a_count(1),), (a_count(2),)]),
        ((a_count(0),), (a_count(0), a_count(0)), [None, (a_count(1),)]),
    ],
)
def test_a_repeated_count_of_a_return_has_no_effect(first: Any, same: Any, others: list[Any]) -> None:
    received = given(*DELIVERED, RETURN, ReceiveReturn(return_id="r", lines=first))
    received.asked_again = lambda: received.when(ReceiveReturn(return_id="r", lines=first))  # type: ignore[method-assign]
    received.asked_again().then_quiet()
    received.when(ReceiveReturn(return_id="r", lines=same)).then_quiet()
    counted = a_count(2) if first is None else first[0]
    lines = [{"lineId": "1", "received": counted.received, "damaged": counted.damaged}]
    for other in others:
        asked = ReceiveReturn(return_id="r", lines=other)
        received.when(asked).then_rejected(ReturnAlreadyReceived, returnId="r", lines=lines)


def test_lines_that_a_count_leaves_out_have_not_come_back() -> None:
    back = RequestReturn(return_id="r", lines=some(boots=2, socks=1))
    boots = ReceiveReturn(return_id="r", lines=(a_count(2),))
    received = given(*DELIVERED, back).when(boots).then_types(ReturnReceived)
    received.asked_again().then_quiet()
    received.when(ReceiveReturn(return_id="r", lines=(a_count(2), a_count(0, line_id="2")))).then_quiet()
    received.when(ReceiveReturn(return_id="r", lines=(a_count(2), a_count(1, line_id="2"))))
    assert isinstance(received.refusal, ReturnAlreadyReceived)


def test_a_command_that_was_already_done_causes_no_events_whatever_its_reason() -> None:
    given(place(), CancelOrder(reason="late")).when(CancelOrder(reason="dear")).then_quiet()
    given(place(), Hold(reason="fraud")).when(Hold(reason="address")).then(
        OrderHeld(reason="address", hold_id=hold_id_of("address"))
    )
    discontinued = StockScenario(ReceiveStock(quantity=1), DiscontinueProduct(reason="old"))
    discontinued.when(DiscontinueProduct(reason="broken")).then_quiet()


def test_a_line_reserves_one_quantity() -> None:
    line: dict[str, Any] = {"order_id": "ann", "line_id": "1"}
    scenario = StockScenario(ReceiveStock(quantity=5), ReserveStock(**line, quantity=7))
    scenario.when(ReserveStock(**line, quantity=7)).then_quiet()
    scenario.when(ReserveStock(**line, quantity=6)).then_rejected(
        ReservationExists, orderId="ann", lineId="1", held=5, waiting=2, shipped=0, rejected=0
    )
    fewer = StockScenario(ReceiveStock(quantity=5), ReserveStock(**line, quantity=5), ReleaseStock(**line, quantity=2))
    fewer.when(ReserveStock(**line, quantity=5))
    assert isinstance(fewer.refusal, ReservationExists)


def test_units_of_a_line_count_as_reserved_when_they_have_shipped_or_were_refused() -> None:
    line: dict[str, Any] = {"order_id": "ann", "line_id": "1"}
    asked = ReserveStock(**line, quantity=7, policy=PARTIAL)
    scenario = StockScenario(ReceiveStock(quantity=5), asked, ShipStock(**line, shipped=3))
    scenario.when(asked).then_quiet()
    scenario.when(replace(asked, quantity=5)).then_rejected(
        ReservationExists, orderId="ann", lineId="1", held=2, waiting=0, shipped=3, rejected=2
    )


def test_a_manual_command_cannot_increase_the_reservation_of_an_order_line() -> None:
    line: dict[str, Any] = {"order_id": "o-1", "line_id": "1"}
    scenario = StockScenario(ReceiveStock(quantity=5), ReserveStock(**line, quantity=2, order_version=1))
    scenario.when(ReserveStock(**line, quantity=2)).then_quiet()
    scenario.when(ReserveStock(**line, quantity=3)).then_rejected(OrderLineByHand, orderId="o-1", lineId="1")
    scenario.when(
        ReserveStock(**line, quantity=3, order_version=1)
    ).then_quiet()  # the process manager repeats its command
