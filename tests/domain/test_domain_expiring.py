"""Reservations outside of orders that give up their units at a time; the time is passed in."""

from typing import Any

import pytest
from domain_scenarios import ALL_OR_NOTHING, StockScenario

from domain.inventory.commands import ReceiveStock, ReleaseStock, ReserveStock, SetStock, ShipStock
from domain.inventory.events import StockReleased, StockReserved
from domain.inventory.expiring import ExpireReservation
from domain.policy import MANUAL

NOON, EARLIER, LATER = "2026-11-27T12:00:00.000Z", "2026-11-27T11:59:59.999Z", "2026-11-27T13:00:00.000Z"
given = StockScenario


def by_hand(quantity: int = 2, until: str | None = NOON, **more: Any) -> ReserveStock:
    return ReserveStock(order_id="a", quantity=quantity, expires_at=until, **more)


def expire(now: str = NOON, line: str = MANUAL) -> ExpireReservation:
    return ExpireReservation(order_id="a", line_id=line, now=now)


def due(scenario: StockScenario, line: str = MANUAL) -> str | None:
    return scenario.shelf.reservations["a", line].due


def test_a_reservation_gives_up_its_units_at_its_time_and_once() -> None:
    scenario = given(SetStock(quantity=5), by_hand())
    assert due(scenario) == NOON
    scenario.when(expire(EARLIER)).then_quiet()
    scenario.when(expire()).then_moved((StockReleased, {"quantity": 2, "reserved": 0, "expired_at": NOON}))
    scenario.then_balance(available=5, allocated=0).asked_again().then_quiet()
    assert due(scenario) is None


def test_the_next_in_line_gets_the_units() -> None:
    waiting = ReserveStock(order_id="b", line_id="1", quantity=3, order_version=1)
    scenario = given(SetStock(quantity=2), by_hand(), waiting).when(expire())
    scenario.then_moved((StockReleased, {"quantity": 2}), (StockReserved, {"order_id": "b", "quantity": 2}))


def test_a_line_that_waits_gives_up_its_place() -> None:
    line = ReserveStock(order_id="a", line_id="x", quantity=3, expires_at=NOON)
    scenario = given(SetStock(quantity=1), line)
    assert due(scenario, "x") == NOON
    scenario.when(expire(line="x")).then_moved((StockReleased, {"quantity": 1, "unqueued": 2, "expired_at": NOON}))
    scenario.when(ReceiveStock(quantity=9)).then_balance(backordered=0, allocated=0)


@pytest.mark.parametrize("version", [1, 7])
def test_reservations_of_an_order_do_not_expire(version: int) -> None:
    line = ReserveStock(order_id="a", line_id="1", quantity=2, order_version=version, expires_at=NOON)
    scenario = given(SetStock(quantity=5), line)
    assert due(scenario, "1") is None
    scenario.when(expire(LATER, "1")).then_quiet()


def test_more_units_keep_the_time_or_get_another() -> None:
    scenario = given(SetStock(quantity=9), by_hand(), by_hand(until=None))
    assert due(scenario) == NOON
    scenario.when(by_hand(until=LATER))
    scenario.when(expire()).then_quiet()
    scenario.when(expire(LATER)).then_moved((StockReleased, {"quantity": 6}))


SHIPPED = ShipStock(order_id="a", line_id=MANUAL, shipped=2)


@pytest.mark.parametrize("end", [ReleaseStock(order_id="a", keep=0), SHIPPED])
def test_a_reservation_without_units_forgets_its_time(end: Any) -> None:
    scenario = given(SetStock(quantity=9), by_hand(), end)
    assert due(scenario) is None
    scenario.when(expire()).then_quiet()
    scenario.when(by_hand(until=None))
    assert due(scenario) is None


def test_only_the_rest_is_given_up_after_a_part_has_shipped() -> None:
    scenario = given(SetStock(quantity=9), by_hand(3), ShipStock(order_id="a", line_id=MANUAL, shipped=1))
    scenario.when(expire()).then_moved((StockReleased, {"quantity": 2, "reserved": 1}))


def test_nothing_expires_that_was_refused_or_never_reserved() -> None:
    refused = by_hand(9, line_id="x", policy=ALL_OR_NOTHING)
    given(SetStock(quantity=1), refused).when(expire(line="x")).then_quiet()
    given(SetStock(quantity=1)).when(expire()).then_quiet()


def test_a_time_that_is_not_canonical_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a time"):
        by_hand(until="tomorrow")
