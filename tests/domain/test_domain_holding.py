"""Holding an order for several reasons, and ending its holds one by one."""

import pytest
from domain_scenarios import OrderScenario, place, record
from msgspec.structs import replace

from domain.errors import CorruptHistory, InvalidId, OrderOnHold, SeveralHolds, TooManyHolds
from domain.orders.commands import CreateShipment, Hold, OrderStatus, Release, UpdateStatus, hold_id_of
from domain.orders.events import OrderHeld, OrderReleased, ShipmentCreated
from domain.orders.holding import hold
from domain.orders.state import Held
from projections.order_shape import order_of, render

given = OrderScenario
FRAUD, ADDRESS = hold_id_of("fraud"), hold_id_of("address")
ALLOCATED = (place(), record(reserved=2))
TWICE = (*ALLOCATED, Hold(reason="fraud"), Hold(reason="address"))


def test_an_order_on_hold_does_not_ship() -> None:
    scenario = given(*ALLOCATED).when(Hold(reason="fraud")).then(OrderHeld(reason="fraud", hold_id=FRAUD))
    scenario.asked_again().then_quiet()
    scenario.when(CreateShipment()).then_rejected(OrderOnHold, reason="fraud")
    scenario.when(UpdateStatus(status=OrderStatus.SHIPPED)).then_rejected(OrderOnHold, reason="fraud")


def test_a_hold_for_another_reason_is_another_hold() -> None:
    scenario = given(*ALLOCATED, Hold(reason="fraud")).when(Hold(reason=""))
    scenario.then(OrderHeld(reason="", hold_id=hold_id_of(""))).asked_again().then_quiet()
    scenario.when(CreateShipment()).then_rejected(OrderOnHold, reason="")


def test_the_only_hold_is_released_once_without_being_named() -> None:
    given(place(), Hold()).when(Release()).then(OrderReleased(hold_id=hold_id_of(""))).asked_again().then_quiet()


def test_one_of_several_holds_must_be_named_and_the_others_stay() -> None:
    scenario = given(*TWICE)
    holds = [{"holdId": FRAUD, "reason": "fraud"}, {"holdId": ADDRESS, "reason": "address"}]
    scenario.when(Release()).then_rejected(SeveralHolds, holds=holds)
    scenario.when(Release(hold_id=ADDRESS)).then(OrderReleased(hold_id=ADDRESS)).asked_again().then_quiet()
    scenario.when(CreateShipment()).then_rejected(OrderOnHold, reason="fraud")
    scenario.when(Release()).then(OrderReleased(hold_id=FRAUD))
    scenario.when(CreateShipment()).then_types(ShipmentCreated)


def test_a_hold_that_does_not_exist_ends_no_other_hold() -> None:
    given(*ALLOCATED, Hold(reason="fraud")).when(Release(hold_id="other")).then_quiet()


def test_a_named_hold_has_the_reason_it_was_given_last() -> None:
    scenario = given(*TWICE, Hold(hold_id="check", reason="fraud"))
    scenario.when(Hold(hold_id="check", reason="address")).then(OrderHeld(reason="address", hold_id="check"))
    scenario.asked_again().then_quiet()
    assert scenario.order is not None
    assert scenario.order.holds == (Held(FRAUD, "fraud"), Held(ADDRESS, "address"), Held("check", "address"))


def test_the_id_of_a_new_hold_must_be_distinguishable() -> None:
    scenario = given(place()).when(Hold(hold_id=".."))
    assert type(scenario.refusal) is InvalidId


def test_an_order_accepts_holds_until_they_take_up_too_many_bytes() -> None:
    scenario = given(place())
    while scenario.when(Hold(reason=f"{len(scenario.order.held)} ".ljust(1_000, "ö"))).refusal is None:  # type: ignore[union-attr]
        pass
    assert isinstance(scenario.refusal, TooManyHolds)
    assert scenario.refusal.details["limit"] <= scenario.refusal.details["bytes"] < 136_000
    scenario.when(Hold(hold_id=scenario.order.held[0].hold_id, reason="shorter")).then_types(OrderHeld)  # type: ignore[union-attr]


def test_a_hold_at_the_limit_gets_no_longer_reason() -> None:
    order = given(place()).order
    assert order is not None
    many = replace(order, held=tuple(Held(str(number), "") for number in range(3_000)))
    with pytest.raises(TooManyHolds):
        hold(Hold(hold_id="0", reason="longer"), many)
    assert hold(Hold(hold_id="0", until="2026-11-30T12:00:00.000Z"), many)


# --- holds that older code recorded


def test_older_code_finds_an_order_on_hold_while_it_has_holds() -> None:
    """During a rolling update, a partition may move back to older code, which knows the field `hold` only."""
    ends: list[tuple[OrderReleased, ...]] = [(), (OrderReleased(hold_id=ADDRESS),), (OrderReleased(), OrderReleased())]
    orders = [given(*TWICE, *released).order for released in ends]
    assert [order.hold for order in orders if order is not None] == ["address", "fraud", None]


def test_an_older_hold_replaces_the_one_before_and_ends_as_a_whole() -> None:
    scenario = given(*ALLOCATED, OrderHeld(reason="fraud"), OrderHeld(reason="address"))
    assert scenario.order is not None
    assert (scenario.order.hold, scenario.order.held) == ("address", ())
    scenario.apply(OrderReleased())
    scenario.when(CreateShipment()).then_types(ShipmentCreated)


def test_an_older_hold_is_named_by_its_reason() -> None:
    older = (*ALLOCATED, OrderHeld(reason="fraud"))
    given(*older).when(Hold(reason="fraud")).then_quiet()
    given(*older).when(Release()).then(OrderReleased(hold_id=FRAUD)).asked_again().then_quiet()
    scenario = given(*older).when(Hold(reason="address")).then(OrderHeld(reason="address", hold_id=ADDRESS))
    scenario.when(Release(hold_id=FRAUD)).then(OrderReleased(hold_id=FRAUD))
    scenario.when(CreateShipment()).then_rejected(OrderOnHold, reason="address")


@pytest.mark.parametrize("late", [[OrderReleased()], [OrderHeld(reason="older"), OrderReleased()]])
def test_older_events_after_newer_ones_give_the_same_order_from_a_document(late: list[OrderReleased]) -> None:
    """During a rolling update, older code may decide about an order with holds that have ids."""
    whole, continued = given(*TWICE), given(*TWICE)
    for event in late:
        assert continued.order is not None
        continued.state = type(continued.state)("o-1", order_of(render("o-1", continued.order, 1, "", ""), [1]))
        whole.apply(event)
        continued.apply(event)
    assert whole.order is not None
    assert continued.order is not None
    assert whole.order.holds == continued.order.holds


def test_a_released_hold_must_have_existed() -> None:
    with pytest.raises(CorruptHistory, match="no hold h"):
        given(place(), OrderReleased(hold_id="h"))
