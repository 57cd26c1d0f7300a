"""Cancelling all or part of an order."""

import pytest
from domain_scenarios import PARTIAL, OrderScenario, new, place, record, some

from domain.errors import (
    CancelledOrderModification,
    LineNotFound,
    MoreThanUnshipped,
    OrderCannotBeCancelled,
)
from domain.message import Command
from domain.orders.commands import (
    CancelLines,
    CancelOrder,
    CancelShipment,
    CreateShipment,
    DeliverShipment,
    Hold,
    LineQuantity,
    OrderStatus,
    ReceiveReturn,
    Release,
    RequestReturn,
    UpdateStatus,
    hold_id_of,
)
from domain.orders.events import (
    CancellationCause,
    CancelledLine,
    LinesCancelled,
    OrderCancelled,
)

given = OrderScenario
REQUEST = CancellationCause.REQUEST
ALLOCATED = (place(), record(reserved=2))


def gone(line_id: str, quantity: int, keep: int, product_id: str = "boots") -> CancelledLine:
    return CancelledLine(line_id=line_id, product_id=product_id, quantity=quantity, keep=keep)


@pytest.mark.parametrize("command", [CancelOrder(reason="late"), UpdateStatus(status=OrderStatus.CANCELLED)])
def test_an_order_is_cancelled_with_all_remaining_units(command: Command) -> None:
    reason = "late" if isinstance(command, CancelOrder) else ""
    history = place(new(), new("socks", 3)), record(reserved=1, backordered=1), CancelLines(lines=some(socks=1))
    scenario = given(*history, Hold(reason="fraud")).when(command)
    scenario.then(OrderCancelled(lines=(gone("1", 2, 0), gone("2", 2, 0, "socks")), reason=reason, cause=REQUEST))
    scenario.asked_again().then_quiet()
    assert scenario.order is not None
    assert scenario.order.status == "CANCELLED"


def test_the_units_of_a_partly_shipped_order_that_have_not_shipped_are_cancelled() -> None:
    history = place(new(), new("socks", 3)), record(reserved=2), CreateShipment(lines=some(boots=1))
    scenario = given(*history, Hold(reason="fraud")).when(CancelOrder(reason="late"))
    scenario.then(LinesCancelled(lines=(gone("1", 1, 0), gone("2", 3, 0, "socks")), reason="late"))
    scenario.asked_again().then_quiet()
    assert scenario.order is not None
    assert scenario.order.status == "SHIPPED"


def test_an_order_with_shipped_units_cannot_become_cancelled() -> None:
    asked = UpdateStatus(status=OrderStatus.CANCELLED)
    given(*ALLOCATED, CreateShipment(lines=some(boots=1))).when(asked).then_rejected(
        OrderCannotBeCancelled, status="PARTIALLY_SHIPPED"
    )
    for command in (CancelOrder(), asked):
        given(*ALLOCATED, CreateShipment()).when(command).then_rejected(OrderCannotBeCancelled, status="SHIPPED")


def test_a_shipped_order_of_which_stock_refused_units_has_nothing_left_to_cancel() -> None:
    history = place(policy=PARTIAL), record(reserved=1, rejected=1, reason="OUT_OF_STOCK"), CreateShipment()
    given(*history).when(CancelOrder()).then_rejected(OrderCannotBeCancelled, status="SHIPPED")


def test_an_order_whose_shipments_were_cancelled_can_be_cancelled() -> None:
    history = *ALLOCATED, CreateShipment(shipment_id="s"), CancelShipment(shipment_id="s")
    given(*history).when(CancelOrder()).then_types(OrderCancelled)


def test_part_of_an_order_is_cancelled_pending_units_first() -> None:
    history = place(new(quantity=9)), record(reserved=3), record(reserved=3, backordered=3, version=2)
    scenario = given(*history).when(CancelLines(lines=some(boots=1), reason="late"))
    scenario.then(LinesCancelled(lines=(gone("1", 1, 8),), reason="late"))
    figures = []
    for _ in range(3):
        figures.append((scenario.line().pending, scenario.line().backordered, scenario.line().allocated))
        scenario.when(CancelLines(lines=some(boots=3)))
    assert figures == [(2, 3, 3), (0, 2, 3), (0, 0, 2)]


def test_quantities_of_a_line_named_twice_are_added_up_when_cancelling() -> None:
    lines = (LineQuantity(line_id="1", quantity=1), LineQuantity(line_id="1", quantity=1))
    given(place(new(quantity=3))).when(CancelLines(lines=lines)).then(
        LinesCancelled(lines=(gone("1", 2, 1),), reason="")
    )
    asked = CancelLines(lines=lines)
    given(place(new(quantity=1))).when(asked).then_rejected(MoreThanUnshipped, lineId="1", asked=2, unshipped=1)


def test_the_units_kept_do_not_include_shipped_units() -> None:
    history = place(new(quantity=5)), record(reserved=5), CreateShipment(lines=some(boots=2))
    given(*history).when(CancelLines(lines=some(boots=2))).then(LinesCancelled(lines=(gone("1", 2, 1),), reason=""))
    asked = CancelLines(lines=some(boots=4))
    given(*history).when(asked).then_rejected(MoreThanUnshipped, lineId="1", asked=4, unshipped=3)
    given(*history).when(CancelLines(lines=some(boots=3))).then_types(LinesCancelled)


def test_cancelling_every_line_cancels_the_order() -> None:
    scenario = given(place(new(), new("socks")), CancelLines(lines=some(boots=2))).when(
        CancelLines(lines=some(socks=2))
    )
    scenario.then(OrderCancelled(lines=(gone("2", 2, 0, "socks"),), reason="", cause=REQUEST))


def test_an_unknown_line_cannot_be_cancelled() -> None:
    given(place()).when(CancelLines(lines=some(gloves=1))).then_rejected(LineNotFound, lineId="9")


@pytest.mark.parametrize(
    "command",
    [
        CancelLines(lines=some(boots=1)),
        Hold(reason="other"),
        Release(),
        Release(hold_id=hold_id_of("fraud")),
        CreateShipment(),
        DeliverShipment(shipment_id="s"),
        CancelShipment(shipment_id="s"),
        RequestReturn(lines=some(boots=1)),
        ReceiveReturn(return_id="r"),
        *(UpdateStatus(status=status) for status in OrderStatus if status != "CANCELLED"),
    ],
)
def test_a_cancelled_order_stays_as_it_is(command: Command) -> None:
    given(place(), Hold(reason="fraud"), CancelOrder()).when(command).then_rejected(CancelledOrderModification)


@pytest.mark.parametrize(
    "command",
    [
        CancelOrder(),
        UpdateStatus(status=OrderStatus.CANCELLED),
        Release(),
        Release(hold_id="h"),
        record(reserved=2),
    ],
)
def test_repeated_commands_to_a_cancelled_order_cause_no_events(command: Command) -> None:
    given(place(), CancelOrder()).when(command).then_quiet()
