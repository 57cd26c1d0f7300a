"""Orders that must ship by a time; the time is passed in."""

from typing import Any

import pytest
from domain_scenarios import OrderScenario, new, place, record, some

from domain.errors import CorruptHistory, OrderOnHold
from domain.orders import evolve_order
from domain.orders.commands import (
    CancelLines,
    CancelOrder,
    CancelShipment,
    CloseShipment,
    CreateShipment,
    Hold,
    PlaceOrder,
    Rest,
    WhenLate,
    WhenOver,
)
from domain.orders.deadlines import ReachDeadline, next_deadline
from domain.orders.events import (
    CancellationCause,
    CancelledLine,
    LinesCancelled,
    OrderCancelled,
    OrderHeld,
    OrderLate,
    OrderReleased,
    ShipmentCancelled,
    ShipmentCreated,
)

NOON, EARLIER, LATER = "2026-11-27T12:00:00.000Z", "2026-11-27T11:59:59.999Z", "2026-11-27T12:00:00.001Z"
given = OrderScenario
at_noon, before_noon = ReachDeadline(now=NOON), ReachDeadline(now=EARLIER)
LATE = OrderLate(ship_by=NOON)


def urgent(**fields: Any) -> PlaceOrder:
    return place(**{"ship_by": NOON, **fields})


def due(scenario: OrderScenario) -> str | None:
    assert scenario.order is not None
    return next_deadline(scenario.order)


def test_an_order_that_has_not_shipped_in_time_is_late_once() -> None:
    scenario = given(urgent())
    assert due(scenario) == NOON
    scenario.when(before_noon).then_quiet()
    scenario.when(at_noon).then(LATE).asked_again().then_quiet()
    assert due(scenario) is None


def test_it_is_late_when_the_worker_was_down_at_the_time() -> None:
    given(urgent()).when(ReachDeadline(now="2027-01-01T00:00:00.000Z")).then(LATE)


def test_units_that_have_not_shipped_are_cancelled_if_the_order_says_so() -> None:
    scenario = given(urgent(when_late=WhenLate.CANCEL), record(reserved=2)).when(at_noon)
    line = CancelledLine(line_id="1", product_id="boots", quantity=2, keep=0)
    scenario.then(LATE, OrderCancelled(lines=(line,), reason="SHIP_BY", cause=CancellationCause.REQUEST))
    scenario.asked_again().then_quiet()


def test_shipped_units_stay_when_the_rest_is_cancelled() -> None:
    scenario = given(urgent(when_late=WhenLate.CANCEL), record(reserved=2), CreateShipment(lines=some(boots=1)))
    line = CancelledLine(line_id="1", product_id="boots", quantity=1, keep=0)
    scenario.when(at_noon).then(LATE, LinesCancelled(lines=(line,), reason="SHIP_BY"))
    assert scenario.order is not None
    assert scenario.order.status == "SHIPPED"


def test_units_that_are_sent_again_are_late_but_not_cancelled() -> None:
    scenario = given(urgent(when_late=WhenLate.CANCEL), record(reserved=2), CreateShipment(shipment_id="s"))
    scenario.when(CloseShipment(shipment_id="s", rest=Rest.RESEND)).when(at_noon).then(LATE)
    assert due(scenario) is None


@pytest.mark.parametrize("history", [(CreateShipment(),), (CancelOrder(),), (CancelLines(lines=some(boots=2)),)])
def test_nothing_is_due_once_no_units_are_left_to_ship(history: Any) -> None:
    scenario = given(urgent(), record(reserved=2), *history)
    assert due(scenario) is None
    scenario.when(at_noon).then_quiet()


def test_the_time_counts_again_when_the_shipment_is_cancelled() -> None:
    shipped = given(urgent(), record(reserved=2), CreateShipment(shipment_id="s"))
    shipped.when(CancelShipment(shipment_id="s")).then_types(ShipmentCancelled)
    assert due(shipped) == NOON
    shipped.when(ReachDeadline(now=LATER)).then(LATE)


def test_an_order_without_a_time_is_never_late() -> None:
    scenario = given(place())
    assert due(scenario) is None
    scenario.when(at_noon).then_quiet()


def test_another_time_makes_it_another_order() -> None:
    again = given(urgent()).when(urgent(ship_by=LATER))
    assert again.refusal is not None
    assert again.refusal.details["differs"] == ["shipBy"]
    given(urgent()).when(urgent()).then_quiet()


@pytest.mark.parametrize("event", [LATE, OrderLate(ship_by=LATER)])
def test_a_history_in_which_a_time_passes_twice_is_corrupt(event: OrderLate) -> None:
    order = given(urgent(), LATE).order
    with pytest.raises(CorruptHistory):
        evolve_order(order, event)


def test_a_time_that_is_not_canonical_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a time"):
        place(new(), ship_by="tomorrow")


# --- backorders that expire


def test_units_that_wait_for_stock_are_cancelled_at_their_time() -> None:
    """Even if they wait again later, because a count has not found them."""
    scenario = given(place(new(quantity=5), backorders_expire_at=NOON), record(reserved=3, backordered=2))
    assert due(scenario) == NOON
    scenario.when(before_noon).then_quiet()
    line = CancelledLine(line_id="1", product_id="boots", quantity=2, keep=3)
    scenario.when(at_noon).then(LinesCancelled(lines=(line,), reason="BACKORDERS_EXPIRE_AT"))
    scenario.asked_again().then_quiet()
    assert due(scenario) is None
    scenario.when(record(version=2, reserved=2, backordered=1))
    assert due(scenario) == NOON
    scenario.when(at_noon).then_types(LinesCancelled)


def test_an_order_that_only_waits_is_cancelled_as_a_whole() -> None:
    scenario = given(place(backorders_expire_at=NOON), record(backordered=2)).when(at_noon)
    line = CancelledLine(line_id="1", product_id="boots", quantity=2, keep=0)
    cause = CancellationCause.REQUEST
    scenario.then(OrderCancelled(lines=(line,), reason="BACKORDERS_EXPIRE_AT", cause=cause))


@pytest.mark.parametrize("stock", [(), (record(reserved=2),), (record(reserved=1, rejected=1),)])
def test_units_that_do_not_wait_have_no_such_time(stock: Any) -> None:
    scenario = given(place(backorders_expire_at=NOON), *stock)
    assert due(scenario) is None
    scenario.when(at_noon).then_quiet()


# --- holds that end by themselves


def test_a_hold_ends_at_its_time_and_the_order_ships() -> None:
    scenario = given(place(), record(reserved=2), Hold(hold_id="h", until=NOON))
    assert due(scenario) == NOON
    scenario.when(before_noon).then_quiet()
    scenario.when(CreateShipment()).then_rejected(OrderOnHold, reason="")
    scenario.when(at_noon).then(OrderReleased(hold_id="h", until=NOON)).asked_again().then_quiet()
    assert due(scenario) is None
    scenario.when(CreateShipment()).then_types(ShipmentCreated)


def test_the_order_is_cancelled_when_its_hold_is_over_if_the_hold_says_so() -> None:
    scenario = given(place(), record(reserved=2), Hold(hold_id="h", until=NOON, when_over=WhenOver.CANCEL))
    line = CancelledLine(line_id="1", product_id="boots", quantity=2, keep=0)
    cancelled = OrderCancelled(lines=(line,), reason="HOLD_UNTIL", cause=CancellationCause.REQUEST)
    scenario.when(at_noon).then(cancelled).asked_again().then_quiet()


def test_only_the_hold_whose_time_has_come_ends() -> None:
    holds = (Hold(hold_id="a", until=LATER), Hold(hold_id="b"), Hold(hold_id="c", until=NOON))
    scenario = given(place(), record(reserved=2), *holds)
    scenario.when(at_noon).then(OrderReleased(hold_id="c", until=NOON))
    assert due(scenario) == LATER
    scenario.when(ReachDeadline(now=LATER)).then(OrderReleased(hold_id="a", until=LATER))
    scenario.when(CreateShipment()).then_rejected(OrderOnHold, reason="")


def test_a_hold_can_be_given_another_time_or_none() -> None:
    scenario = given(place(), Hold(hold_id="h", until=NOON)).when(Hold(hold_id="h", until=LATER))
    scenario.then(OrderHeld(hold_id="h", reason="", until=LATER)).asked_again().then_quiet()
    scenario.when(at_noon).then_quiet()
    scenario.when(Hold(hold_id="h")).then(OrderHeld(hold_id="h", reason=""))
    scenario.when(ReachDeadline(now=LATER)).then_quiet()


def test_deadlines_that_passed_together_are_acted_on_in_their_order() -> None:
    """The hold ends before the order is late, and nothing is left for the hold after that."""
    holds = (Hold(hold_id="a", until=EARLIER), Hold(hold_id="b", until=LATER))
    scenario = given(urgent(when_late=WhenLate.CANCEL), record(reserved=2), *holds)
    scenario.when(ReachDeadline(now=LATER)).then_types(OrderReleased, OrderLate, OrderCancelled)
    scenario.asked_again().then_quiet()
    assert due(scenario) is None


def test_a_hold_of_units_that_have_shipped_has_no_end_until_they_are_back() -> None:
    scenario = given(place(), record(reserved=2), CreateShipment(shipment_id="s"), Hold(hold_id="h", until=NOON))
    assert due(scenario) is None
    scenario.when(CancelShipment(shipment_id="s"))
    assert due(scenario) == NOON


def test_the_end_of_a_hold_that_is_not_canonical_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a time"):
        Hold(until="tomorrow")
