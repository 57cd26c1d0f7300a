"""Why an order is waiting: codes, sentences, and the place in the queue, on a real MongoDB."""

from typing import Any

import pytest
from msgspec.structs import replace
from projection_histories import ORDERS, STOCK, allocate, order_history, place, records, stock_history
from projection_scenarios import given_order

from domain.inventory.commands import ReceiveStock, ReleaseStock, ReserveStock
from domain.orders.commands import (
    CancelOrder,
    CreateShipment,
    DeliverShipment,
    Hold,
    LineQuantity,
    OrderCommand,
    RequestReturn,
    hold_id_of,
)
from domain.policy import AllocationPlan, AllocationPolicy, AllocationStrategy, Granted
from projections.explanation import Behind, Facts, Reason, explain
from projections.mongo import standing as module
from projections.mongo.client import Mongo
from projections.mongo.queries import Queries
from projections.mongo.standing import standing
from projections.runner import Runner

ONE = (LineQuantity(line_id="1", quantity=1),)
PARKED = {
    "aggregate": "inventory", "aggregateId": "boot", "letters": 3, "since": "T", "commandId": "c",
    "commandType": "ReserveStock", "code": "X", "message": "KeyError: 1", "attempts": 1,
}  # fmt: skip


def given(*commands: OrderCommand, **facts: Any) -> Facts:
    """Return the facts about the order `o-1` after `commands`."""
    return Facts("o-1", given_order(*commands).whole if commands else None, **facts)


def then_reasons(facts: Facts, *codes: str) -> list[Reason]:
    """Check the codes of the reasons, and return the reasons."""
    reasons = explain(facts)
    assert [reason.code for reason in reasons] == list(codes)
    return reasons


BOOTS = place(("boot", 2))
SHIPPED = (BOOTS, allocate("boot", 2), CreateShipment(shipment_id="s-1", carrier="DHL"))
WHOLE = place(("boot", 2), ("hat", 1), policy=AllocationPolicy.ALL_OR_NOTHING)


@pytest.mark.parametrize(
    ("commands", "expected", "says"),
    [
        ((BOOTS,), ["RESERVATION_OUTSTANDING"], "Line 1: waiting for the stock decision on 2 units of boot."),
        ((BOOTS, allocate("boot", 2)), ["READY_TO_PICK"], "2 units allocated, ready to pick since"),
        ((BOOTS, allocate("boot", 2), Hold(reason="fraud")), ["ON_HOLD"], "on hold: fraud. Nothing ships until"),
        ((BOOTS, Hold()), ["ON_HOLD", "RESERVATION_OUTSTANDING"], "on hold, without a reason."),
        (
            (BOOTS, allocate("boot", 1, backordered=1)),
            ["ALLOCATION_UNDER_WAY", "READY_TO_PICK"],
            "1 unit of boot on backorder;",
        ),
        ((WHOLE, allocate("boot", 2)), ["RESERVATION_OUTSTANDING", "OTHER_LINES_OUTSTANDING"], "1 unit of hat"),
        (SHIPPED, ["IN_TRANSIT"], "Shipment s-1 (DHL) is in transit with 2 units."),
        ((*SHIPPED, DeliverShipment(shipment_id="s-1")), ["ORDER_DELIVERED"], "The whole order was delivered"),
        (
            (*SHIPPED, DeliverShipment(shipment_id="s-1"), RequestReturn(return_id="r-1", lines=ONE)),
            ["RETURN_OPEN", "ORDER_DELIVERED"],
            "Return r-1 of 1 unit is announced;",
        ),
        ((BOOTS, CancelOrder(reason="no")), ["ORDER_CANCELLED"], "The order is cancelled."),
    ],
)
def test_each_state_has_its_reasons(commands: tuple[OrderCommand, ...], expected: list[str], says: str) -> None:
    first, *_ = then_reasons(given(*commands), *expected)
    assert says in first.message


def test_an_order_says_at_which_locations_its_units_are_and_why() -> None:
    plan = AllocationPlan(strategy=AllocationStrategy.NEAREST, locations=("north",))
    at = (Granted(location="north", quantity=3), Granted(location="south", quantity=2))
    placed = replace(place(("boot", 5)), allocation=plan)
    (ready,) = then_reasons(given(placed, replace(allocate("boot", 5), at=at)), "READY_TO_PICK")
    assert ready.details["locations"] == {"north": 3, "south": 2}
    assert ready.message.endswith(
        "3 units at north, 2 units at south: the nearest open locations that had units, in the order north, then any "
        "other."
    )


def test_an_order_says_whether_one_location_had_everything() -> None:
    plan = AllocationPlan(locations=("north",), one_location=True)
    placed = replace(place(("boot", 5)), allocation=plan)

    def told(**units: int) -> str:
        at = tuple(Granted(location=location, quantity=each) for location, each in units.items())
        (ready,) = then_reasons(given(placed, replace(allocate("boot", 5), at=at)), "READY_TO_PICK")
        return ready.message

    assert told(north=5).endswith(
        "5 units at north: one location that had all units of the order, in the order north, then any other."
    )
    assert told(north=3, south=2).endswith(
        "3 units at north, 2 units at south: no open location had all units of the order, so each line has them from "
        "the first open locations that had units, in the order north, then any other."
    )


def test_obstacles_come_first() -> None:
    behind = [
        Behind("orders", "order-commands", 3, 1234, workers=1),
        Behind("inventory", "inventory-commands", 1, 1, workers=0),
    ]
    parked, _, lagging, away, unchecked = then_reasons(
        given(BOOTS, parked=[PARKED], behind=behind, unchecked=["the weather"]),
        "COMMAND_PARKED",
        "RESERVATION_OUTSTANDING",
        "CONSUMER_LAGGING",
        "CONSUMER_AWAY",
        "NOT_CHECKED",
    )
    assert parked.message.endswith("2 more are queued after it. To resolve this, an operator fixes the error "
                                   "and runs: fulfillment letters retry boot")  # fmt: skip
    assert lagging.message.startswith("1,234 commands")
    assert (lagging.waits_for, lagging.details["partition"]) == ("SYSTEM", 3)
    assert "no inventory worker is running" in away.message
    assert unchecked.message == "This could not be checked: the weather."


def test_a_hold_is_explained_with_its_beginning() -> None:
    facts = given(BOOTS, allocate("boot", 2), Hold(reason="fraud"), held={None: "2026-01-01T00:00:00.000Z"})
    (reason,) = then_reasons(facts, "ON_HOLD")
    assert reason.message.startswith("The order has been on hold since 2026-01-01T00:00:00.000Z: fraud. Nothing ships")


def test_an_order_that_is_only_parked_is_explained() -> None:
    (parked,) = then_reasons(given(parked=[PARKED | {"aggregate": "order", "letters": 1}]), "COMMAND_PARKED")
    assert "queued after it" not in parked.message
    (parked,) = then_reasons(given(parked=[PARKED | {"aggregate": "order", "letters": 2}]), "COMMAND_PARKED")
    assert "1 more is queued after it." in parked.message


@pytest.fixture
async def queue(mongo: Mongo, runner: Runner) -> Queries:
    """Two boots, and six orders that want three each: the first has two and waits for one; the third gave up."""
    histories = [order_history(f"o-{n}", place(("boot", 3)), allocate("boot", *split)) for n, split in enumerate(
        [(2, 1), (0, 3), (0, 3), (0, 3), (0, 3), (0, 3)]
    )]  # fmt: skip
    stock = stock_history(
        "boot",
        ReceiveStock(quantity=2),
        *(ReserveStock(order_id=f"o-{n}", line_id="1", quantity=3, order_version=1) for n in range(6)),
        ReleaseStock(order_id="o-2", line_id="1", keep=0, order_version=2),
    )
    await runner.apply(
        {
            (ORDERS, 0): records(*(message for history in histories for message in history)),
            (STOCK, 0): records(*stock),
        }
    )
    return Queries(mongo)


async def test_the_place_in_the_queue_is_counted_past_holes(queue: Queries) -> None:
    found = {n: (await standing(queue, f"o-{n}")).queued.get("1") for n in range(6)}
    assert {n: (at.lines_ahead, at.units_ahead, at.waiting) for n, at in found.items() if at} == {
        0: (0, 0, 1),
        1: (1, 1, 3),
        3: (2, 4, 3),
        4: (3, 7, 3),
        5: (4, 10, 3),
    }
    (first, *_), (last,) = explain(await standing(queue, "o-0")), explain(await standing(queue, "o-5"))
    assert first.message == (
        "Line 1: 1 unit of boot on backorder. It is first in the queue. It needs 1 unit more in stock."
    )
    assert last.message.endswith("4 lines of orders are ahead in the queue, waiting for 10 units. "
                                 "It needs 13 units more in stock.")  # fmt: skip
    assert last.details == {"quantity": 3, "linesAhead": 4, "exact": True, "unitsAhead": 10, "unitsNeeded": 13}
    (gone,) = explain(await standing(queue, "o-2"))
    assert gone.code == "ALLOCATION_UNDER_WAY"  # stock has released it, and the order has not been told yet


async def test_beyond_a_limit_the_place_is_an_upper_bound(queue: Queries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COUNTED", 2)
    monkeypatch.setattr(module, "LEAST", 2)
    (reason,) = explain(await standing(queue, "o-5"))
    assert reason.message.endswith("on backorder. Up to 5 lines of orders are ahead in the queue.")
    assert reason.details == {"quantity": 3, "linesAhead": 5, "exact": False}


async def test_holds_and_cancellations_show_their_time_and_reason(mongo: Mongo, runner: Runner) -> None:
    held = order_history("held", BOOTS, allocate("boot", 2), Hold(reason="one"), Hold(reason="two"))
    ended = order_history("ended", BOOTS, CancelOrder(reason="changed my mind"))
    await runner.apply({(ORDERS, 0): records(*held, *ended)})
    newer, older = explain(await standing(Queries(mongo), "held"))
    assert older.details == {"holdId": hold_id_of("one"), "reason": "one", "since": held[-2].time}
    assert newer.details == {"holdId": hold_id_of("two"), "reason": "two", "since": held[-1].time}
    (end,) = explain(await standing(Queries(mongo), "ended"))
    assert end.message == "The order is cancelled: changed my mind."
    assert (await standing(Queries(mongo), "unknown")).order is None
