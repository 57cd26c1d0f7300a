"""UpdateStatus of the previous system: the allowed transitions, as a table."""

import pytest
from domain_scenarios import ALL_OR_NOTHING, OrderScenario, new, place, record, some
from msgspec.structs import replace

from domain import errors
from domain.message import Command
from domain.orders.commands import (
    CancelLines,
    CancelOrder,
    CreateShipment,
    DeliverShipment,
    Hold,
    OrderStatus,
    UpdateStatus,
)
from domain.orders.events import ShipmentCreated, ShipmentDelivered, ShippedLine
from domain.orders.status import return_status

given = OrderScenario

TWO = place(new(quantity=4), new("socks", 2))
BOOTS, SOCKS = record(reserved=4), record("socks", reserved=2)
PART, REST = CreateShipment(shipment_id="s", lines=some(boots=2)), CreateShipment(shipment_id="t")
SO_FAR: dict[str, tuple[Command, ...]] = {
    "placed": (TWO,),
    "part allocated": (TWO, BOOTS),
    "part backordered": (TWO, BOOTS, record("socks", backordered=2)),
    "backordered": (TWO, record(backordered=4), record("socks", backordered=2)),
    "allocated": (TWO, BOOTS, SOCKS),
    "held": (TWO, BOOTS, SOCKS, Hold(reason="fraud")),
    "part shipped": (TWO, BOOTS, SOCKS, PART),
    "shipped, rest pending": (TWO, record(reserved=2), PART),
    "shipped, rest backordered": (TWO, record(reserved=2, backordered=2), record("socks", backordered=2), PART),
    "shipped": (TWO, BOOTS, SOCKS, PART, REST),
    "part delivered": (TWO, BOOTS, SOCKS, PART, REST, DeliverShipment(shipment_id="s")),
    "part delivered, rest allocated": (TWO, BOOTS, SOCKS, PART, DeliverShipment(shipment_id="s")),
    "delivered": (TWO, BOOTS, SOCKS, PART, REST, *(DeliverShipment(shipment_id=name) for name in "st")),
    "shipped after cancelling": (TWO, BOOTS, PART, CancelLines(lines=some(boots=2, socks=2))),
}
# The result of asking: S a shipment, D one delivery each, C the cancellation, "" nothing to do, else the code of the
# rejection.
PENDING, INVALID, HELD, GONE = (
    "ALLOCATION_PENDING",
    "INVALID_STATUS_TRANSITION",
    "ORDER_ON_HOLD",
    "ORDER_CANNOT_BE_CANCELLED",
)
TABLE: dict[str, tuple[str, str, str, str, str, str]] = {
    # so far                         REGISTERED  P_SHIPPED SHIPPED P_DELIV  DELIVERED CANCELLED
    "placed": ("", PENDING, PENDING, INVALID, INVALID, "C"),
    "part allocated": ("", "S", PENDING, INVALID, INVALID, "C"),
    "part backordered": ("", "S", INVALID, INVALID, INVALID, "C"),
    "backordered": ("", INVALID, INVALID, INVALID, INVALID, "C"),
    "allocated": ("", "S", "S", INVALID, INVALID, "C"),
    "held": ("", HELD, HELD, INVALID, INVALID, "C"),
    "part shipped": (INVALID, "S", "S", "D", INVALID, GONE),
    "shipped, rest pending": (INVALID, PENDING, PENDING, "D", INVALID, GONE),
    "shipped, rest backordered": (INVALID, "", INVALID, "D", INVALID, GONE),
    "shipped": (INVALID, "", "", "DD", "DD", GONE),
    "part delivered": (INVALID, INVALID, INVALID, "D", "D", GONE),
    "part delivered, rest allocated": (INVALID, "S", "S", "", INVALID, GONE),
    "delivered": (INVALID, INVALID, INVALID, "", "", GONE),
    "shipped after cancelling": (INVALID, "", "", "D", "D", GONE),
}
LETTERS = {"ShipmentCreated": "S", "ShipmentDelivered": "D", "OrderCancelled": "C"}
CASES = [
    (so_far, asked, expected)
    for so_far, row in TABLE.items()
    for asked, expected in zip(
        ["REGISTERED", "PARTIALLY_SHIPPED", "SHIPPED", "PARTIALLY_DELIVERED", "DELIVERED", "CANCELLED"],
        row,
        strict=True,
    )
]


@pytest.mark.parametrize(("so_far", "asked", "expected"), CASES)
def test_an_order_moves_as_far_as_its_quantities_allow(so_far: str, asked: str, expected: str) -> None:
    scenario = given(*SO_FAR[so_far]).when(UpdateStatus(status=OrderStatus(asked)))
    came = scenario.refusal.code if scenario.refusal else "".join(LETTERS[type(e).__name__] for e in scenario.events)
    assert came == expected
    if scenario.refusal is None:
        scenario.asked_again().then_quiet()


@pytest.mark.parametrize(
    ("history", "status"),
    [
        ((TWO,), "PENDING"),
        ((TWO, BOOTS), "PARTIALLY_ALLOCATED"),
        ((TWO, record(backordered=4)), "PARTIALLY_ALLOCATED"),
        ((TWO, record(backordered=4), record("socks", backordered=2)), "BACKORDERED"),
        ((TWO, BOOTS, record("socks", backordered=2)), "PARTIALLY_ALLOCATED"),
        ((TWO, BOOTS, SOCKS), "ALLOCATED"),
        ((TWO, BOOTS, SOCKS, PART, REST), "ALLOCATED"),
        ((TWO, CancelOrder()), None),
    ],
)
def test_the_status_of_the_allocation_follows_from_the_units(history: tuple[Command, ...], status: str | None) -> None:
    order = given(*history).order
    assert order is not None
    assert order.allocation_status == status


@pytest.mark.parametrize(
    ("delivered", "returned", "is_open", "status"),
    [(3, 0, False, "NONE"), (3, 1, False, "PARTIALLY_RETURNED"), (3, 2, False, "PARTIALLY_RETURNED"),
     (3, 3, False, "RETURNED"), (3, 0, True, "REQUESTED"), (3, 1, True, "REQUESTED")],
)  # fmt: skip
def test_the_status_of_the_returns_follows_from_the_units(
    delivered: int, returned: int, is_open: bool, status: str
) -> None:
    assert return_status(delivered, returned, is_open) == status


def test_a_shipment_of_all_allocated_units_says_so() -> None:
    lines = (ShippedLine(line_id="1", product_id="boots", quantity=4, shipped=4),)
    scenario = given(TWO, BOOTS).when(UpdateStatus(status=OrderStatus.PARTIALLY_SHIPPED, shipment_id="s"))
    scenario.then(ShipmentCreated(shipment_id="s", lines=lines, all_allocated=True))


@pytest.mark.parametrize("asked", ["SHIPPED", "DELIVERED"])
def test_an_accepted_command_leads_to_the_requested_status(asked: str) -> None:
    for so_far, cases in TABLE.items():
        if cases[["SHIPPED", "DELIVERED"].index(asked) * 2 + 2] in ("S", "DD"):
            scenario = given(*SO_FAR[so_far]).when(UpdateStatus(status=OrderStatus(asked)))
            assert scenario.order is not None
            assert scenario.order.status in (asked, "PARTIALLY_DELIVERED")


def test_two_shipments_of_a_line_are_delivered_with_totals_that_build_on_each_other() -> None:
    history = place(new(quantity=4)), BOOTS, PART, REST
    scenario = given(*history).when(UpdateStatus(status=OrderStatus.DELIVERED))
    scenario.then_types(ShipmentDelivered, ShipmentDelivered)
    assert [line.delivered for event in scenario.events for line in event.lines] == [2, 4]


def test_a_rejected_transition_names_both_statuses() -> None:
    scenario = given(TWO).when(UpdateStatus(status=OrderStatus.DELIVERED))
    scenario.then_rejected(errors.InvalidStatusTransition, status="REGISTERED", asked="DELIVERED")


def test_all_or_nothing_ships_no_part_while_a_line_is_pending() -> None:
    whole = replace(TWO, policy=ALL_OR_NOTHING)
    scenario = given(whole, BOOTS).when(UpdateStatus(status=OrderStatus.PARTIALLY_SHIPPED))
    scenario.then_rejected(errors.AllocationPending, lines=["2"])
