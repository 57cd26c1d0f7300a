"""Changing what is ordered, before it ships."""

from typing import Any

import pytest
from domain_scenarios import ALL_OR_NOTHING, BACKORDER, OrderScenario, new, place, price, record, some
from msgspec.structs import replace

from domain.errors import (
    CancelledOrderModification,
    CannotChange,
    InvalidId,
    LineExists,
    LineNotFound,
    MoreThanUnshipped,
    TotalMismatch,
)
from domain.message import MAX_AMOUNT, MAX_LINES, MAX_TOTAL, Command
from domain.money import Money
from domain.orders.commands import (
    AddLine,
    CancelLines,
    CancelOrder,
    ChangeQuantity,
    CloseShipment,
    CreateShipment,
    RecordAllocation,
    ReplaceProduct,
    Rest,
)
from domain.orders.events import (
    AddedLine,
    AllocationRecorded,
    LinesAdded,
    LinesReduced,
    OrderCancelled,
    ReducedLine,
    ShipmentCreated,
)
from domain.policy import AllocationPlan, AllocationStrategy

given = OrderScenario
SOCKS = AddLine(line_id="2", product_id="socks", quantity=3, price=price(500))
ALLOCATED = (place(), record(reserved=2))


def eur(amount: int) -> Money:
    return Money(amount=amount, currency="EUR")


def added(line_id: str, product_id: str, quantity: int, amount: int = 1000, part_of: str | None = None) -> AddedLine:
    return AddedLine(line_id=line_id, product_id=product_id, quantity=quantity, price=price(amount), part_of=part_of)


def fewer(line_id: str, quantity: int, keep: int, product_id: str = "boots") -> ReducedLine:
    return ReducedLine(line_id=line_id, product_id=product_id, quantity=quantity, keep=keep)


def answered(line_id: str, **figures: int) -> RecordAllocation:
    return RecordAllocation(
        line_id=line_id, stock_version=1, **{"reserved": 0, "backordered": 0, "rejected": 0} | figures
    )


# --- adding a line


def test_a_line_is_added_and_waits_for_stock() -> None:
    scenario = given(*ALLOCATED).when(SOCKS)
    scenario.then(LinesAdded(lines=(added("2", "socks", 3, 500),), policy=BACKORDER, total_cost=eur(3500)))
    scenario.asked_again().then_quiet()
    assert (scenario.line("2").pending, scenario.line("2").ordered) == (3, 3)


def test_an_order_may_have_the_largest_number_of_lines_and_the_largest_total() -> None:
    given(place(*[new(quantity=1)] * (MAX_LINES - 1))).when(replace(SOCKS, line_id="last")).then_types(LinesAdded)
    most = replace(SOCKS, quantity=1_000, price=price(MAX_TOTAL // 1_000 - 2))
    scenario = given(place()).when(most).then_types(LinesAdded)
    assert scenario.events[0].total_cost == eur(MAX_TOTAL)


def test_a_line_that_is_added_gets_its_units_as_the_others_do() -> None:
    plan = AllocationPlan(strategy=AllocationStrategy.NEAREST, locations=("north",))
    assert given(place(allocation=plan)).when(SOCKS).events[0].allocation == plan


def test_a_line_without_an_id_gets_the_same_one_each_time() -> None:
    given(place()).when(replace(SOCKS, line_id=None)).then_types(LinesAdded).asked_again().then_quiet()


@pytest.mark.parametrize(
    "other", [replace(SOCKS, product_id="hat"), replace(SOCKS, quantity=4), replace(SOCKS, price=price(1))]
)
def test_another_line_with_the_same_id_is_refused(other: Command) -> None:
    given(place(), SOCKS).when(other).then_rejected(LineExists, lineId="2", productId="socks", quantity=3)


def test_a_line_that_was_ordered_is_not_added_again() -> None:
    same = AddLine(line_id="1", product_id="boots", quantity=2, price=price())
    given(place()).when(same).then_rejected(LineExists, lineId="1", productId="boots", quantity=2)


def test_the_total_that_the_client_expects_is_checked() -> None:
    given(place()).when(replace(SOCKS, total_cost=eur(3500))).then_types(LinesAdded)
    wrong = replace(SOCKS, total_cost=eur(3501))
    given(place()).when(wrong).then_rejected(TotalMismatch, given="35.01 EUR", computed="35.00 EUR")


@pytest.mark.parametrize(
    ("history", "command", "reason"),
    [
        (ALLOCATED, replace(SOCKS, price=price(1, "USD")), "its currency is EUR"),
        (
            ALLOCATED,
            replace(SOCKS, line_id="manual"),
            "a line cannot have the id manual, which is for manual reservations",
        ),
        ((*ALLOCATED, CreateShipment()), SOCKS, "all of its units have shipped; place another order"),
        (
            (*ALLOCATED, CreateShipment()),
            ChangeQuantity(line_id="1", quantity=3),
            "all of its units have shipped; place another order",
        ),
        (
            (*ALLOCATED, CreateShipment()),
            ReplaceProduct(line_id="1", product_id="socks"),
            "no units of line 1 are left that have not shipped",
        ),
        (
            ALLOCATED,
            ChangeQuantity(line_id="1", quantity=0),
            "no units would be left; cancel it instead",
        ),
        (
            ALLOCATED,
            replace(SOCKS, quantity=1_000_000, price=price(MAX_AMOUNT)),
            "the total must not exceed 1000000000000000 minor units",
        ),
        (
            (place(*[new(quantity=1)] * MAX_LINES),),
            replace(SOCKS, line_id="more"),
            "it would have more than 200 lines",
        ),
    ],
)
def test_a_change_that_does_not_fit_the_order_is_refused(history: Any, command: Command, reason: str) -> None:
    given(*history).when(command).then_rejected(CannotChange, reason=reason)


@pytest.mark.parametrize(("odd", "field"), [({"line_id": ".."}, "lineId"), ({"product_id": " boots"}, "productId")])
def test_the_ids_of_a_new_line_must_be_distinguishable(odd: dict[str, str], field: str) -> None:
    refusal = given(place()).when(replace(SOCKS, **odd)).refusal
    assert type(refusal) is InvalidId
    assert refusal.details["field"] == field


def test_stock_that_refuses_an_added_line_cancels_only_that_line() -> None:
    history = place(policy=ALL_OR_NOTHING), record(reserved=2), SOCKS
    scenario = given(*history).when(answered("2", rejected=3)).then_types(AllocationRecorded)
    scenario.when(CreateShipment()).then_types(ShipmentCreated)


def test_stock_that_refuses_a_line_as_placed_still_cancels_the_order() -> None:
    history = place(policy=ALL_OR_NOTHING), SOCKS, answered("2", reserved=3)
    given(*history).when(record(rejected=2)).then_types(AllocationRecorded, OrderCancelled)


# --- raising and lowering a quantity


def test_more_units_of_a_line_are_a_line_that_is_part_of_it() -> None:
    scenario = given(*ALLOCATED).when(ChangeQuantity(line_id="1", quantity=5, total_cost=eur(5000)))
    part = added("1.2", "boots", 3, part_of="1")
    scenario.then(LinesAdded(lines=(part,), policy=BACKORDER, total_cost=eur(5000))).asked_again().then_quiet()
    scenario.when(ChangeQuantity(line_id="1.2", quantity=6))
    scenario.then(LinesAdded(lines=(added("1.3", "boots", 1, part_of="1"),), policy=BACKORDER, total_cost=eur(6000)))


def test_fewer_units_are_taken_from_the_newest_part_first() -> None:
    scenario = given(*ALLOCATED, ChangeQuantity(line_id="1", quantity=5), answered("1.2", reserved=3))
    scenario.when(ChangeQuantity(line_id="1", quantity=1, total_cost=eur(1000)))
    lines = fewer("1.2", 3, 0), fewer("1", 1, 1)
    scenario.then(LinesReduced(lines=lines, total_cost=eur(1000))).asked_again().then_quiet()
    assert (scenario.line("1").ordered, scenario.line("1").cancelled, scenario.line("1.2").ordered) == (1, 0, 0)


@pytest.mark.parametrize(("quantity", "computed"), [(5, "50.00 EUR"), (1, "10.00 EUR")])
def test_the_total_that_the_client_expects_of_another_quantity_is_checked(quantity: int, computed: str) -> None:
    wrong = ChangeQuantity(line_id="1", quantity=quantity, total_cost=eur(2000))
    given(*ALLOCATED).when(wrong).then_rejected(TotalMismatch, given="20.00 EUR", computed=computed)


def test_units_that_have_shipped_stay() -> None:
    history = *ALLOCATED, SOCKS, CreateShipment(lines=some(boots=1))
    given(*history).when(ChangeQuantity(line_id="1", quantity=1)).then_types(LinesReduced)
    asked = ChangeQuantity(line_id="1", quantity=0)
    given(*history).when(asked).then_rejected(MoreThanUnshipped, lineId="1", asked=2, unshipped=1)


def test_cancelled_units_do_not_count() -> None:
    history = place(new(quantity=5)), record(reserved=5), CancelLines(lines=some(boots=2))
    given(*history).when(ChangeQuantity(line_id="1", quantity=3)).then_quiet()


def test_an_unknown_line_cannot_be_changed() -> None:
    for command in (ChangeQuantity(line_id="9", quantity=3), ReplaceProduct(line_id="9", product_id="socks")):
        given(place()).when(command).then_rejected(LineNotFound, lineId="9")


def test_the_id_of_a_part_is_never_too_long_and_never_taken() -> None:
    long, taken = new(line_id="x" * 128), new(line_id="1.2", quantity=1)
    scenario = given(place(long, new(line_id="1"), taken))
    scenario.when(ChangeQuantity(line_id="x" * 128, quantity=3)).then_types(LinesAdded)
    assert len(scenario.events[0].lines[0].line_id) < 128
    scenario.when(ChangeQuantity(line_id="1", quantity=3))
    assert scenario.events[0].lines[0].line_id == "1.3"


# --- replacing a product


def test_a_product_is_replaced_with_as_many_units_at_the_same_price() -> None:
    scenario = given(*ALLOCATED).when(ReplaceProduct(line_id="1", product_id="shoes", new_line_id="n"))
    add = LinesAdded(lines=(added("n", "shoes", 2),), policy=BACKORDER, total_cost=eur(4000))
    scenario.then(add, LinesReduced(lines=(fewer("1", 2, 0),), total_cost=eur(2000))).asked_again().then_quiet()


def test_a_product_is_replaced_with_another_quantity_and_price() -> None:
    command = ReplaceProduct(
        line_id="1", product_id="shoes", quantity=1, price=price(1500), new_line_id="n", total_cost=eur(1500)
    )
    scenario = given(*ALLOCATED).when(command).then_types(LinesAdded, LinesReduced)
    scenario.asked_again().then_quiet()
    wrong = replace(command, total_cost=eur(1501))
    given(*ALLOCATED).when(wrong).then_rejected(TotalMismatch, given="15.01 EUR", computed="15.00 EUR")
    other = replace(command, quantity=2, total_cost=None)
    scenario.when(other).then_rejected(LineExists, lineId="n", productId="shoes", quantity=1)


def test_only_units_that_have_not_shipped_are_replaced() -> None:
    scenario = given(*ALLOCATED, CreateShipment(lines=some(boots=1)))
    scenario.when(ReplaceProduct(line_id="1", product_id="shoes", new_line_id="n"))
    assert scenario.events[0].lines == (added("n", "shoes", 1),)
    assert scenario.events[1].lines == (fewer("1", 1, 0),)


def test_units_that_are_sent_again_are_replaced_at_the_price_of_nothing() -> None:
    """The customer has paid for the units that were lost, and does not pay again."""
    lost = (
        place(),
        record(reserved=2),
        CreateShipment(shipment_id="s"),
        CloseShipment(shipment_id="s", rest=Rest.RESEND),
    )
    scenario = given(*lost).when(ReplaceProduct(line_id="1", product_id="shoes", new_line_id="n", total_cost=eur(2000)))
    assert scenario.events[0].lines == (added("n", "shoes", 2, 0),)
    scenario.asked_again().then_quiet()


def test_units_with_several_prices_are_replaced_at_the_price_that_is_given() -> None:
    lost = CreateShipment(shipment_id="s", lines=some(boots=1)), CloseShipment(shipment_id="s", rest=Rest.RESEND)
    command = ReplaceProduct(line_id="1", product_id="shoes", new_line_id="n")
    scenario = given(*ALLOCATED, *lost).when(command)
    scenario.then_rejected(CannotChange, reason="the units of line 1 have several prices; give the new price")
    scenario.when(replace(command, price=price(1500))).then_types(LinesAdded, LinesReduced)


def test_a_repeated_replacement_is_recognized_after_its_line_was_reduced() -> None:
    command = ReplaceProduct(line_id="1", product_id="shoes", new_line_id="n")
    given(*ALLOCATED, command, ChangeQuantity(line_id="n", quantity=1)).when(command).then_quiet()


# --- a changed order


@pytest.mark.parametrize(
    "change", [SOCKS, ChangeQuantity(line_id="1", quantity=1), ChangeQuantity(line_id="1", quantity=9)]
)
def test_an_order_is_still_the_one_that_was_placed(change: Command) -> None:
    given(place(), change).when(place()).then_quiet()
    given(place(), change).when(place(total_cost=eur(2000))).then_quiet()


@pytest.mark.parametrize(
    "command", [SOCKS, ChangeQuantity(line_id="1", quantity=3), ReplaceProduct(line_id="1", product_id="socks")]
)
def test_a_cancelled_order_is_not_changed(command: Command) -> None:
    given(place(), CancelOrder()).when(command).then_rejected(CancelledOrderModification)
