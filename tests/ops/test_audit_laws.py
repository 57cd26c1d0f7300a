"""Each kind of drift in the events is found, and events of the domain are clean. Without Kafka and MongoDB."""

from typing import Any

import pytest
from audit_world import World, compared, histories, place
from msgspec.structs import replace

from domain.inventory.commands import AdjustStock, ReceiveStock, ReleaseStock, ReserveStock
from domain.orders.commands import (
    CancelLines,
    CancelOrder,
    CountedLine,
    CreateShipment,
    DeliverShipment,
    LineQuantity,
    ReceiveReturn,
    RequestReturn,
)
from ops.audit.laws import line_laws, order_laws, product_laws
from ops.audit.report import Kind, Report
from streams.messages.envelope import EventMessage


@pytest.fixture
def world() -> World:
    """Return a world with shipped, returned, cancelled, waiting, rejected and manually reserved units."""
    world = World()
    world.tell("inventory", "boots", ReceiveStock(quantity=10))
    world.tell("inventory", "socks", ReceiveStock(quantity=3))
    world.tell("order", "o-1", place(("boots", 4), ("socks", 2)))
    world.tell("order", "o-2", place(("boots", 4), ("socks", 3), ("unknown", 1)))
    world.tell("order", "o-3", place(("boots", 5)))
    world.tell("order", "o-1", CreateShipment(shipment_id="s-1"))
    world.tell("order", "o-1", DeliverShipment(shipment_id="s-1"))
    world.tell("order", "o-1", RequestReturn(return_id="r-1", lines=(LineQuantity(line_id="1", quantity=3),)))
    counted = (CountedLine(line_id="1", received=3, damaged=1),)
    world.tell("order", "o-1", ReceiveReturn(return_id="r-1", lines=counted))
    world.tell("order", "o-2", CancelLines(lines=(LineQuantity(line_id="2", quantity=1),)))
    world.tell("inventory", "boots", AdjustStock(delta=4, reason="found"))
    world.tell("inventory", "boots", ReserveStock(order_id="by-hand", quantity=1))
    world.tell("inventory", "boots", ReleaseStock(order_id="by-hand", quantity=1))
    world.tell("inventory", "boots", ReserveStock(order_id="by-hand", quantity=2))
    world.tell("order", "o-4", place(("boots", 1)))
    world.tell("order", "o-4", CancelOrder(reason="no"))
    return world


def kinds(report: Report) -> set[Kind]:
    return {drift.kind for drift in report.drifts}


def test_a_log_as_the_domain_writes_it_is_clean(world: World) -> None:
    report = Report()
    lines = compared(world.logs["order"], world.logs["inventory"], report)
    for order in world.orders.values():
        assert list(order_laws(order)) == []
    for shelf in world.shelves.values():
        assert list(product_laws(shelf.stock.balance, shelf.reservations.values())) == []
    assert lines.differing == {}
    assert report.drifts == []
    assert report.clean
    assert report.checked["lines"] == 7


@pytest.mark.parametrize("aggregate", ["order", "inventory"])
@pytest.mark.parametrize("at", [0, 3])
def test_a_missing_event_is_found(world: World, aggregate: str, at: int) -> None:
    log, report = world.logs[aggregate], Report()
    histories(aggregate, log[:at] + log[at + 1 :], report)
    assert kinds(report) == {Kind.SEQUENCE}
    assert {drift.key for drift in report.drifts} == {log[at].key}
    assert not report.clean


@pytest.mark.parametrize("aggregate", ["order", "inventory"])
def test_an_event_that_is_there_twice_is_found_and_counted_once(world: World, aggregate: str) -> None:
    log, report = world.logs[aggregate], Report()
    found = histories(aggregate, [*log, log[2]], report)
    assert kinds(report) == {Kind.SEQUENCE}
    clean = histories(aggregate, log, Report())
    assert found.aggregates == clean.aggregates


def test_an_event_that_cannot_have_followed_is_found(world: World) -> None:
    log, report = world.logs["order"], Report()
    again = replace(log[0], id="other", sequence=1 + sum(message.key == log[0].key for message in log))
    histories("order", [*log, again], report)
    assert kinds(report) == {Kind.HISTORY}


def changed(message: EventMessage, **fields: Any) -> EventMessage:
    return replace(message, event=replace(message.event, **fields))


def test_stock_that_moved_otherwise_than_its_event_says_is_found(world: World) -> None:
    log, report = world.logs["inventory"], Report()
    histories("inventory", [changed(log[0], quantity=11), *log[1:]], report)
    assert kinds(report) == {Kind.BALANCE}


def test_a_product_whose_units_do_not_add_up_is_found(world: World) -> None:
    shelf = world.shelves["boots"]
    balance, lines = shelf.stock.balance, list(shelf.reservations.values())
    assert any("reservations say" in what for what in product_laws(balance, lines[1:]))
    assert list(product_laws(replace(balance, received=11), lines))
    assert list(product_laws(replace(balance, available=-1), lines))


def test_an_order_whose_quantities_do_not_add_up_is_found(world: World) -> None:
    order = world.orders["o-1"]
    first, second = order.lines
    for wrong in (
        replace(first, ordered=5), replace(first, delivered=9), replace(first, allocated=-1, pending=1),
        replace(first, damaged=4), replace(first, shipped=3, allocated=1),
    ):  # fmt: skip
        assert list(order_laws(replace(order, lines=(wrong, second))))


def test_a_line_and_its_reservation_that_differ_are_found_once_they_had_time(world: World) -> None:
    lost = [message for message in world.logs["order"] if message.key != "o-3" or message.sequence == 1]
    report = Report()
    lines = compared(lost, world.logs["inventory"], report)
    assert set(lines.differing) == {"boots/o-3/1"}
    lines.judge()
    assert {(drift.kind, drift.key) for drift in report.drifts} == {(Kind.LINE, "boots/o-3/1")}
    assert any("pending" in drift.what for drift in report.drifts)


def test_messages_in_flight_are_not_drift_and_are_compared_when_they_arrive() -> None:
    world = World()
    world.tell("inventory", "boots", ReceiveStock(quantity=10))
    world.tell("order", "o-1", place(("boots", 4)), settle=False)
    report = Report()
    lines = compared(world.logs["order"], world.logs["inventory"], report)
    assert set(lines.differing) == {"boots/o-1/1"}
    orders_read, stock_read = len(world.logs["order"]), len(world.logs["inventory"])
    world.step()
    for message in world.logs["inventory"][stock_read:]:
        lines.apply(message)
    lines.judge()
    assert set(lines.differing) == {"boots/o-1/1"}, "it moved: it gets more time"
    world.step()
    for message in world.logs["order"][orders_read:]:
        lines.apply(message)
    lines.judge()
    assert lines.differing == {}
    assert report.drifts == []


def test_a_line_that_still_changes_at_the_end_is_not_compared() -> None:
    world, report = World(), Report()
    world.tell("order", "o-1", place(("boots", 4)), settle=False)
    lines = compared(world.logs["order"], world.logs["inventory"], report)
    lines.give_up()
    assert report.clean
    assert report.in_flight["lines"] == 1


def test_a_reservation_without_an_order_is_found_and_one_made_by_hand_is_not(world: World) -> None:
    world.tell(
        "inventory", "boots", ReserveStock(order_id="nobody", line_id="1", quantity=1, order_version=1), settle=False
    )
    report = Report()
    lines = compared(world.logs["order"], world.logs["inventory"], report)
    lines.judge()
    assert {drift.key for drift in report.drifts} == {"boots/nobody/1"}


def test_a_line_that_never_asked_for_stock_is_found(world: World) -> None:
    line = world.orders["o-1"].lines[0]
    assert list(line_laws(replace(line, pending=1), None))
    assert list(line_laws(None, None)) == []


def test_an_aggregate_whose_events_are_broken_is_not_judged_any_further(world: World) -> None:
    report = Report()
    without = [message for message in world.logs["inventory"] if message.key != "boots" or message.sequence != 2]
    lines = compared(world.logs["order"], without, report)
    assert kinds(report) == {Kind.SEQUENCE}
    assert lines.differing == {}
