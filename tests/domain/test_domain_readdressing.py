"""Changing where an order goes, and what happens when stock is short."""

from typing import Any

import pytest
from domain_scenarios import ALL_OR_NOTHING, BACKORDER, HOME, PARTIAL, WORK, OrderScenario, new, place, record, some

from domain.address import Address
from domain.errors import AllocationPending, CancelledOrderModification, CannotChange
from domain.message import Missing
from domain.orders.commands import CancelOrder, ChangePolicy, ChangeShippingAddress, CreateShipment
from domain.orders.events import (
    CancellationCause,
    CancelledLine,
    LinesCancelled,
    OrderCancelled,
    PolicyChanged,
    ShippingAddressChanged,
)

given = OrderScenario
ALLOCATED = (place(), record(reserved=2))
SHORT = (place(new(), new("socks", 3)), record(reserved=1, backordered=1), record("socks", backordered=3))
TO_WORK = ChangeShippingAddress(shipping_address=WORK)


def gone(line_id: str, product_id: str, quantity: int, keep: int) -> CancelledLine:
    return CancelledLine(line_id=line_id, product_id=product_id, quantity=quantity, keep=keep)


def test_units_that_have_not_shipped_go_to_another_address() -> None:
    scenario = given(*ALLOCATED, CreateShipment(lines=some(boots=1))).when(TO_WORK)
    scenario.then(ShippingAddressChanged(shipping_address=WORK)).asked_again().then_quiet()
    assert scenario.order is not None
    assert (scenario.order.shipping_address, scenario.order.billing_address) == (WORK, HOME)
    scenario.when(ChangeShippingAddress(shipping_address=HOME)).then_types(ShippingAddressChanged)
    assert scenario.order.changed == ("shipping_address",), "once, however often it changes"


def test_the_same_address_changes_nothing() -> None:
    given(place()).when(ChangeShippingAddress(shipping_address=HOME)).then_quiet()


def test_the_address_of_shipped_units_stays() -> None:
    reason = "all of its units have shipped; place another order"
    given(*ALLOCATED, CreateShipment()).when(TO_WORK).then_rejected(CannotChange, reason=reason)


def test_a_new_address_needs_its_postal_code() -> None:
    with pytest.raises(Missing, match="zipCode"):
        ChangeShippingAddress(shipping_address=Address(street="s", city="c", country="US"))


@pytest.mark.parametrize("command", [TO_WORK, ChangePolicy(policy=PARTIAL)])
def test_a_changed_order_is_still_the_one_that_was_placed(command: Any) -> None:
    given(*ALLOCATED, command).when(place()).then_quiet()


@pytest.mark.parametrize("command", [TO_WORK, ChangePolicy(policy=PARTIAL)])
def test_a_cancelled_order_is_not_changed(command: Any) -> None:
    given(place(), CancelOrder()).when(command).then_rejected(CancelledOrderModification)


# --- the policy


@pytest.mark.parametrize("policy", [PARTIAL, ALL_OR_NOTHING])
def test_the_policy_of_an_order_that_lacks_nothing_is_changed(policy: Any) -> None:
    scenario = given(*ALLOCATED).when(ChangePolicy(policy=policy))
    scenario.then(PolicyChanged(policy=policy)).asked_again().then_quiet()
    scenario.when(ChangePolicy(policy=BACKORDER)).then(PolicyChanged(policy=BACKORDER))


def test_units_that_wait_are_cancelled_if_the_new_policy_does_not_wait() -> None:
    lines = gone("1", "boots", 1, 1), gone("2", "socks", 3, 0)
    scenario = given(*SHORT).when(ChangePolicy(policy=PARTIAL))
    scenario.then(PolicyChanged(policy=PARTIAL), LinesCancelled(lines=lines, reason="OUT_OF_STOCK"))
    scenario.asked_again().then_quiet()


def test_an_order_that_lacks_units_is_cancelled_if_it_may_not_be_split() -> None:
    lines = gone("1", "boots", 2, 0), gone("2", "socks", 3, 0)
    scenario = given(*SHORT).when(ChangePolicy(policy=ALL_OR_NOTHING))
    scenario.then(
        PolicyChanged(policy=ALL_OR_NOTHING),
        OrderCancelled(lines=lines, reason="OUT_OF_STOCK", cause=CancellationCause.STOCK),
    )


def test_an_order_of_which_everything_waits_is_cancelled() -> None:
    scenario = given(place(), record(backordered=2)).when(ChangePolicy(policy=PARTIAL))
    scenario.then_types(PolicyChanged, OrderCancelled)


def test_the_rest_of_a_partly_shipped_order_is_cancelled_if_it_waits() -> None:
    scenario = given(*SHORT, CreateShipment(lines=some(boots=1))).when(ChangePolicy(policy=ALL_OR_NOTHING))
    scenario.then_types(PolicyChanged, LinesCancelled)


def test_the_policy_changes_once_stock_has_answered() -> None:
    given(place()).when(ChangePolicy(policy=PARTIAL)).then_rejected(AllocationPending, lines=["1"])
    reason = "all of its units have shipped; place another order"
    given(*ALLOCATED, CreateShipment()).when(ChangePolicy(policy=PARTIAL)).then_rejected(CannotChange, reason=reason)
