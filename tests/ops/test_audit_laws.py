"""Each kind of drift in the events is found, and events of the domain are clean. Without Kafka and MongoDB."""

from collections.abc import Iterable
from typing import Any

import pytest
from audit_world import World, audit_lines, audit_log, place, some
from msgspec.structs import replace

from domain.inventory.commands import AdjustStock, ReceiveStock, ReleaseStock, ReserveStock
from domain.orders.commands import (
    CancelLines,
    CancelOrder,
    CountedLine,
    CreateShipment,
    DeliverShipment,
    ReceiveReturn,
    RequestReturn,
)
from domain.orders.events import LocationProposed
from domain.orders.state import Held, ShipmentStatus
from domain.policy import AllocationPlan
from ops.audit.laws import line_laws, order_laws, product_laws
from ops.audit.report import Kind
from streams.messages.envelope import EventMessage

Log = list[EventMessage]


@pytest.fixture
def world() -> World:
    """Return a world with shipped, returned, cancelled, waiting, rejected and manually reserved units."""
    world = World()
    world.stock("boots", ReceiveStock(quantity=10))
    world.stock("socks", ReceiveStock(quantity=3))
    world.order("o-1", place(boots=4, socks=2))
    world.order("o-2", place(boots=4, socks=3, unknown=1))
    world.order("o-3", place(boots=5))
    world.order(
        "o-1",
        CreateShipment(shipment_id="s-1"),
        DeliverShipment(shipment_id="s-1"),
        RequestReturn(return_id="r-1", lines=some(boots=3)),
        ReceiveReturn(return_id="r-1", lines=(CountedLine(line_id="1", received=3, damaged=1),)),
    )
    world.order("o-2", CancelLines(lines=some(socks=1)))
    world.stock(
        "boots",
        AdjustStock(delta=4, reason="found"),
        ReserveStock(order_id="by-hand", quantity=1),
        ReleaseStock(order_id="by-hand", quantity=1),
        ReserveStock(order_id="by-hand", quantity=2),
    )
    world.order("o-4", place(boots=1), CancelOrder(reason="no"))
    return world


def without(log: Log, *lost: EventMessage) -> Log:
    return [message for message in log if message not in lost]


def of(log: Log, key: str, number: int) -> EventMessage:
    """Return an event of the order or product `key`."""
    return next(message for message in log if (message.key, message.sequence) == (key, number))


def changed(message: EventMessage, **fields: Any) -> EventMessage:
    return replace(message, event=replace(message.event, **fields))


def then_broken(laws: Iterable[str], says: str = "") -> None:
    """Check that something does not add up, and that a sentence about it contains `says`."""
    assert any(says in what for what in laws)


def test_a_log_as_the_domain_writes_it_is_clean(world: World) -> None:
    for order in world.orders.values():
        assert list(order_laws(order)) == []
    for shelf in world.shelves.values():
        assert list(product_laws(shelf.stock.balance, shelf.reservations.values())) == []
    lines = sum(len(order.lines) for order in world.orders.values())
    audit_lines(world.logs["order"], world.logs["inventory"]).then_differing().then_clean().then_checked("lines", lines)


@pytest.mark.parametrize("aggregate", ["order", "inventory"])
@pytest.mark.parametrize("at", [0, 3])
def test_a_missing_event_is_found(world: World, aggregate: str, at: int) -> None:
    log = world.logs[aggregate]
    audit_log(aggregate, without(log, log[at])).then_drift(Kind.SEQUENCE, log[at].key)


@pytest.mark.parametrize("aggregate", ["order", "inventory"])
def test_an_event_that_is_there_twice_is_found_and_counted_once(world: World, aggregate: str) -> None:
    log = world.logs[aggregate]
    found = audit_log(aggregate, [*log, log[2]]).then_drift(Kind.SEQUENCE, log[2].key)
    assert found.histories.aggregates == audit_log(aggregate, log).then_clean().histories.aggregates


def test_an_event_that_cannot_have_followed_is_found(world: World) -> None:
    log = world.logs["order"]
    events = sum(message.key == "o-1" for message in log)
    placed_again = replace(of(log, "o-1", 1), id="other", sequence=events + 1)
    audit_log("order", [*log, placed_again]).then_drift(Kind.HISTORY, "o-1")


def test_stock_that_moved_otherwise_than_its_event_says_is_found(world: World) -> None:
    received, *others = world.logs["inventory"]
    audit_log("inventory", [changed(received, quantity=11), *others]).then_drift(Kind.BALANCE, "boots")


def test_a_product_whose_units_do_not_add_up_is_found(world: World) -> None:
    shelf = world.shelves["boots"]
    balance, reservations = shelf.stock.balance, list(shelf.reservations.values())
    then_broken(product_laws(balance, reservations[1:]), "reservations say")
    then_broken(product_laws(replace(balance, received=11), reservations))
    then_broken(product_laws(replace(balance, available=-1), reservations))


@pytest.mark.parametrize(
    "wrong",
    [
        {"ordered": 5},
        {"delivered": 9},
        {"allocated": -1, "pending": 1},
        {"damaged": 4},
        {"shipped": 3, "allocated": 1},
    ],
    ids=str,
)
def test_an_order_whose_quantities_do_not_add_up_is_found(world: World, wrong: dict[str, int]) -> None:
    order = world.orders["o-1"]
    boots, socks = order.lines
    then_broken(order_laws(replace(order, lines=(replace(boots, **wrong), socks))))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"quantity": 3}, "4 shipped or lost, its shipments say 3"),
        ({"delivered": 3}, "4 delivered, its shipments say 3"),
        ({"lost": 1}, "0 lost, its shipments say 1"),
        ({"line_id": "2"}, "4 shipped or lost, its shipments say 0"),
    ],
    ids=str,
)
def test_a_line_that_differs_from_its_shipments_is_found(world: World, wrong: dict[str, Any], says: str) -> None:
    order = world.orders["o-1"]
    (shipment,) = order.shipments
    boots, socks = shipment.lines
    changed = replace(shipment, lines=(replace(boots, **wrong), socks))
    then_broken(order_laws(replace(order, shipments=(changed,))), f"line 1: {says}")


def test_only_shipments_that_were_not_cancelled_count(world: World) -> None:
    order = world.orders["o-1"]
    (shipment,) = order.shipments
    cancelled = replace(shipment, status=ShipmentStatus.CANCELLED)
    assert list(order_laws(replace(order, shipments=(shipment, cancelled)))) == []
    then_broken(order_laws(replace(order, shipments=(cancelled,))), "4 shipped or lost, its shipments say 0")
    then_broken(order_laws(replace(order, shipments=(shipment, shipment))), "4 shipped or lost, its shipments say 8")


def test_a_line_that_differs_from_its_returns_is_found(world: World) -> None:
    order = world.orders["o-1"]
    (back,) = order.returns
    (boots,) = back.lines
    less = replace(back, lines=(replace(boots, received=2),))
    then_broken(order_laws(replace(order, returns=(less,))), "line 1: 3 returned, its returns say 2")
    then_broken(order_laws(replace(order, returns=(back, back))), "line 1: 3 returned, its returns say 6")


def test_holds_with_the_same_id_and_a_wrong_total_are_found(world: World) -> None:
    order = world.orders["o-1"]
    hold = Held("h-1", "fraud check")
    then_broken(order_laws(replace(order, hold=hold.reason, held=(hold, hold))), "two holds have the same id")
    cheap = replace(order.total_cost, amount=1)
    then_broken(order_laws(replace(order, total_cost=cheap)), "the total is 1, the lines make 6000")


def test_a_line_and_its_reservation_that_differ_are_found_once_they_had_time(world: World) -> None:
    log = world.logs["order"]
    answers = [message for message in log if message.key == "o-3" and message.sequence > 1]
    audit = audit_lines(without(log, *answers), world.logs["inventory"]).then_differing("boots/o-3/1").then_clean()
    audit.when_read().then_line_drift("boots/o-3/1", says="pending")


def test_a_line_that_never_answers_the_proposal_of_a_location_is_found() -> None:
    world = World()
    for product, location in (("boots", "north"), ("boots", "south"), ("socks", "south")):
        world.stock(product, ReceiveStock(quantity=4, location=location))
    plan = AllocationPlan(locations=("north",), one_location=True)
    world.order("o-1", replace(place(boots=4, socks=2), allocation=plan))
    log = world.logs["order"]
    audit_lines(log, world.logs["inventory"]).then_differing().then_clean()
    proposed = next(number for number, each in enumerate(log) if isinstance(each.event, LocationProposed))
    audit = audit_lines(log[: proposed + 1], world.logs["inventory"]).then_differing("boots/o-1/1")
    audit.when_read().then_line_drift("boots/o-1/1", says="proposed")


def test_messages_in_flight_are_not_drift_and_are_compared_when_they_arrive() -> None:
    world = World()
    world.stock("boots", ReceiveStock(quantity=10))
    world.order("o-1", place(boots=4), settle=False)
    audit = audit_lines(world.logs["order"], world.logs["inventory"]).then_differing("boots/o-1/1")
    audit.when_read(*world.step()).then_differing("boots/o-1/1")  # it moved: it gets more time
    audit.when_read(*world.step()).then_differing().then_clean()


def test_a_line_that_still_changes_at_the_end_is_not_compared() -> None:
    world = World()
    world.order("o-1", place(boots=4), settle=False)
    audit = audit_lines(world.logs["order"], world.logs["inventory"])
    audit.lines.give_up()
    audit.then_clean()
    assert audit.report.in_flight["lines"] == 1


def test_a_reservation_without_an_order_is_found_and_one_made_by_hand_is_not(world: World) -> None:
    unknown = ReserveStock(order_id="unknown", line_id="1", quantity=1, order_version=1)
    world.stock("boots", unknown, settle=False)
    audit = audit_lines(world.logs["order"], world.logs["inventory"])
    audit.when_read().then_line_drift("boots/unknown/1")


def test_a_line_that_never_asked_for_stock_is_found(world: World) -> None:
    boots, _ = world.orders["o-1"].lines
    then_broken(line_laws(replace(boots, pending=1), None))
    assert list(line_laws(None, None)) == []


def test_an_aggregate_whose_events_are_broken_is_not_judged_any_further(world: World) -> None:
    log = world.logs["inventory"]
    audit = audit_lines(world.logs["order"], without(log, of(log, "boots", 2)))
    audit.then_drift(Kind.SEQUENCE, "boots").then_differing()
