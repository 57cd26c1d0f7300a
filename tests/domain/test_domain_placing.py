"""Placing orders, and recording stock's answers for their lines."""

from typing import Any

import pytest
from domain_scenarios import ALL_OR_NOTHING, HOME, PARTIAL, WORK, OrderScenario, new, place, price, record
from msgspec.structs import fields, replace

from domain.errors import (
    CorruptHistory,
    InvalidOrder,
    LineNotFound,
    OrderExists,
    OrderNotFound,
    TotalMismatch,
)
from domain.message import MAX_TOTAL
from domain.money import Money
from domain.orders import OrderState, commands, decide, evolve_order
from domain.orders.commands import CancelLines, CancelOrder, CreateShipment, Hold, LineQuantity, NewLine, Price
from domain.orders.events import (
    AllocationRecorded,
    OrderCancelled,
    OrderHeld,
    OrderPlaced,
    PlacedLine,
    ShipmentDelivered,
)
from domain.orders.state import Line, Order
from domain.policy import Granted

given = OrderScenario


def euros(amount: int) -> Money:
    return Money(amount=amount, currency="EUR")


def test_an_order_is_placed() -> None:
    lines = (
        PlacedLine(line_id="1", product_id="boots", quantity=2, price=price()),
        PlacedLine(line_id="x", product_id="socks", quantity=1, price=price(333)),
    )
    scenario = given().when(
        place(new(), new("socks", 1, price=price(333), line_id="x"), issued_at="2026-11-23T00:00:00.000Z")
    )
    scenario.then(
        OrderPlaced(
            customer_id="ann",
            lines=lines,
            shipping_address=HOME,
            billing_address=HOME,
            total_cost=euros(2333),
            policy=commands.AllocationPolicy.BACKORDER,
            issued_at="2026-11-23T00:00:00.000Z",
        )
    )
    assert scenario.order is not None
    assert scenario.order.issued_at == "2026-11-23T00:00:00.000Z"
    assert scenario.order.status == "REGISTERED"
    assert scenario.order.allocation_status == "PENDING"
    assert scenario.order.return_status == "NONE"


def test_an_order_placed_twice_with_the_same_contents_is_one_order() -> None:
    given().when(place(total_cost=euros(2000))).then_types(OrderPlaced).asked_again().then_quiet()
    given(place(), CancelOrder()).when(place()).then_quiet()


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (place(new("socks")), ["lines"]),
        (place(new(quantity=3)), ["lines"]),
        (place(new(price=price(1001))), ["lines"]),
        (place(new(price=price(currency="USD"))), ["lines"]),
        (place(new(), new()), ["lines"]),
        (place(new(line_id="x")), ["lines"]),
        (place(customer_id="bob"), ["customerId"]),
        (place(shipping_address=WORK), ["shippingAddress"]),
        (place(shipping_address=replace(HOME, state="IL")), ["shippingAddress"]),
        (place(billing_address=WORK), ["billingAddress"]),
        (place(policy=PARTIAL), ["policy"]),
        (place(issued_at="2026-11-23T00:00:00.000Z"), ["issuedAt"]),
        (place(total_cost=euros(1)), ["totalCost"]),
        (place(customer_id="bob", policy=PARTIAL), ["customerId", "policy"]),
    ],
)
def test_an_id_used_by_another_order_is_refused(other: commands.PlaceOrder, differs: list[str]) -> None:
    given(place()).when(other).then_rejected(OrderExists, orderId="o-1", differs=differs)


def test_the_exact_total_is_accepted() -> None:
    scenario = given().when(place(new(), new("socks"), total_cost=euros(4000)))
    assert scenario.events[0].total_cost == euros(4000)


def test_the_largest_total_is_accepted() -> None:
    given().when(place(new(quantity=1000, price=price(MAX_TOTAL // 1000)))).then_types(OrderPlaced)


def test_the_total_of_many_small_prices_is_exact_too() -> None:
    lines = [NewLine(product_id="boots", quantity=1, price=Price(amount=1, currency="JPY")) for _ in range(200)]
    for wrong in (400, 201, 199, 0):
        asked = place(*lines, total_cost=Money(amount=wrong, currency="JPY"))
        given().when(asked).then_rejected(TotalMismatch, given=f"{wrong} JPY", computed="200 JPY")
    assert given().when(place(*lines, total_cost=Money(amount=200, currency="JPY"))).events


@pytest.mark.parametrize(
    ("total", "words"),
    [
        (euros(4001), "40.01 EUR"),
        (euros(3999), "39.99 EUR"),
        (euros(4003), "40.03 EUR"),
        (Money(amount=4000, currency="USD"), "40.00 USD"),
    ],
)
def test_another_total_is_refused(total: Money, words: str) -> None:
    asked = place(new(), new("socks"), total_cost=total)
    given().when(asked).then_rejected(TotalMismatch, given=words, computed="40.00 EUR")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((), "at least one line"),
        ((new(), new("socks", price=price(1, "USD"))), "one currency"),
        ((new(line_id="2"), new()), "same id"),
        ((new(line_id="manual"),), "manual"),
        ((new(quantity=1_000_000, price=price(MAX_TOTAL // 1000)),), "must not exceed"),
    ],
)
def test_an_invalid_order_is_refused(lines: tuple[commands.NewLine, ...], reason: str) -> None:
    scenario = given().when(replace(place(), lines=lines))
    assert isinstance(scenario.refusal, InvalidOrder)
    assert reason in scenario.refusal.message


@pytest.mark.parametrize("kind", [commands.CancelOrder, commands.Hold, commands.Release, commands.CreateShipment])
def test_commands_to_an_unknown_order_are_rejected(kind: type[commands.CancelOrder]) -> None:
    given().when(kind()).then_rejected(OrderNotFound, orderId="o-1")


def test_granted_units_are_allocated() -> None:
    expected = AllocationRecorded(
        line_id="1", product_id="boots", pending=0, backordered=0, allocated=2, cancelled=0, rejected=0, stock_version=1
    )
    scenario = given(place()).when(record(reserved=2)).then(expected)
    assert scenario.order is not None
    assert scenario.order.allocation_status == "ALLOCATED"
    scenario.asked_again().then_quiet()


def test_missing_units_wait() -> None:
    scenario = given(place(), record(reserved=1)).when(record(reserved=1, backordered=1, version=2))
    assert (scenario.line().allocated, scenario.line().backordered, scenario.line().pending) == (1, 1, 0)
    assert scenario.order is not None
    assert scenario.order.allocation_status == "PARTIALLY_ALLOCATED"


def test_recording_changes_nothing_else() -> None:
    """Lines and orders are rebuilt field by field there, for speed: a field added later must not be lost."""
    names = [each.name for each in fields(Line) if each.name not in ("line_id", "product_id", "price")]
    odd_figures: dict[str, Any] = {name: 100 + number for number, name in enumerate(names)}
    line = Line("1", "boots", price(), **odd_figures)
    order = given(place(), Hold(reason="fraud")).order
    assert order is not None
    odd: dict[str, Any] = {each.name: object() for each in fields(Order)}
    order = replace(order, **odd | {"lines": (line,)})
    figures: dict[str, Any] = {
        "pending": 1,
        "backordered": 2,
        "allocated": 3,
        "cancelled": 4,
        "rejected": 5,
        "stock_version": 6,
        "at": (Granted(location="north", quantity=3),),
    }
    event = AllocationRecorded(line_id="1", product_id="boots", **figures)
    assert evolve_order(order, event) == replace(order, lines=(replace(line, **figures),))


def test_older_figures_are_ignored() -> None:
    for version in (6, 7):
        given(place(), record(reserved=2, version=7)).when(record(backordered=2, version=version)).then_quiet()


def test_figures_of_an_unknown_line_are_refused() -> None:
    given(place()).when(record("gloves", reserved=2)).then_rejected(LineNotFound, lineId="9")


def test_figures_from_before_a_cancellation_are_clamped() -> None:
    one = CancelLines(lines=(LineQuantity(line_id="1", quantity=1),))
    scenario = given(place(), one).when(record(reserved=2))
    assert (scenario.line().allocated, scenario.line().cancelled) == (1, 1)
    late = record(reserved=1, rejected=1, reason="INSUFFICIENT_STOCK")
    scenario = given(place(), one).when(late).then_types(AllocationRecorded)
    assert (scenario.line().cancelled, scenario.line().rejected) == (1, 0)
    assert scenario.events[0].reason is None, "none of the units that are left was refused"
    scenario = given(place(new(quantity=4)), one).when(record(reserved=2, backordered=2))
    assert (scenario.line().allocated, scenario.line().backordered) == (2, 1)
    given(place(), CancelOrder()).when(record(reserved=2)).then_quiet()


def test_shipped_units_count_as_granted() -> None:
    sent = CreateShipment(lines=(LineQuantity(line_id="1", quantity=1),))
    scenario = given(place(), record(reserved=1), sent).when(record(reserved=2, version=2))
    assert (scenario.line().shipped, scenario.line().allocated) == (1, 1)
    four = place(new(quantity=4)), record(reserved=1), sent
    scenario = given(*four).when(record(reserved=2, version=2))
    assert (scenario.line().allocated, scenario.line().pending) == (1, 2)
    scenario.when(record(reserved=2, backordered=9, version=3))
    assert (scenario.line().allocated, scenario.line().backordered, scenario.line().pending) == (1, 2, 0)


def test_refused_units_are_totals() -> None:
    scenario = given(place(new(quantity=5), policy=PARTIAL), record(rejected=1)).when(record(rejected=3, version=2))
    assert (scenario.line().rejected, scenario.line().cancelled, scenario.line().pending) == (3, 3, 2)


def test_refused_units_are_cancelled_and_the_other_lines_continue() -> None:
    scenario = given(place(policy=PARTIAL), record(reserved=1)).when(
        record(reserved=1, rejected=1, reason="INSUFFICIENT_STOCK", version=2)
    )
    scenario.then_types(AllocationRecorded).asked_again().then_quiet()
    assert (scenario.line().cancelled, scenario.line().rejected, scenario.line().allocated) == (1, 1, 1)


def test_an_order_whose_units_are_all_refused_is_cancelled() -> None:
    scenario = given(place()).when(record(rejected=2, reason="PRODUCT_NOT_FOUND"))
    recorded, cancelled = scenario.then_types(AllocationRecorded, OrderCancelled).events
    assert recorded.reason == cancelled.reason == "PRODUCT_NOT_FOUND"
    scenario.asked_again().then_quiet()
    assert scenario.order is not None
    assert (scenario.order.status, scenario.order.allocation_status) == ("CANCELLED", None)
    without_reason = given(place()).when(record(rejected=2))
    assert [event.reason for event in without_reason.events] == [None, ""]


def test_all_or_nothing_is_cancelled_by_the_first_refusal() -> None:
    both = place(new(), new("socks"), policy=ALL_OR_NOTHING)
    scenario = given(both, record(reserved=2)).when(record("socks", rejected=2, reason="INSUFFICIENT_STOCK"))
    recorded, cancelled = scenario.then_types(AllocationRecorded, OrderCancelled).events
    assert recorded.reason == cancelled.reason == "OUT_OF_STOCK"
    assert [(line.line_id, line.quantity, line.keep) for line in cancelled.lines] == [("1", 2, 0)]


@pytest.mark.parametrize("lost", [OrderHeld(reason=""), ShipmentDelivered(shipment_id="s", lines=())])
def test_a_history_must_begin_with_the_order(lost: OrderHeld | ShipmentDelivered) -> None:
    with pytest.raises(CorruptHistory):
        evolve_order(None, lost)


def test_a_history_that_cannot_have_happened_is_refused() -> None:
    placed = decide(place(), OrderState("o-1"))[0]
    order = evolve_order(None, placed)
    recorded = AllocationRecorded(
        line_id="9", product_id="boots", pending=0, backordered=0, allocated=2, cancelled=0, rejected=0, stock_version=1
    )
    for event in (placed, ShipmentDelivered(shipment_id="s", lines=()), recorded):
        with pytest.raises(CorruptHistory):
            evolve_order(order, event)
