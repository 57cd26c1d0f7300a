"""Counting stock, and units that leave the warehouse and come back."""

from typing import Any

import pytest
from domain_scenarios import StockScenario

from domain.errors import (
    CorruptHistory,
    InsufficientStock,
    InvalidQuantity,
    OrderLineByHand,
    ProductNotFound,
    StaleQuantity,
)
from domain.inventory import Reservation, Stock, backorders, evolve_reservation, evolve_stock
from domain.inventory.commands import (
    AdjustStock,
    DiscontinueProduct,
    FillBackorders,
    ReactivateProduct,
    ReceiveStock,
    ReleaseStock,
    ReserveStock,
    RestockReturn,
    SetStock,
    ShipStock,
    UnshipStock,
)
from domain.inventory.events import (
    Balance,
    StockAdjusted,
    StockReceived,
    StockReleased,
    StockReserved,
    StockRestocked,
    StockShipped,
    StockUnshipped,
)
from domain.message import MAX_STOCK, Command
from domain.policy import MANUAL

given = StockScenario
LINE: dict[str, Any] = {"order_id": "o-1", "line_id": "1"}
NINE: dict[str, Any] = {"order_id": "o-9", "line_id": "1"}
HELD = (ReceiveStock(quantity=10), ReserveStock(**LINE, quantity=4, order_version=1))
SENT = (*HELD, ShipStock(**LINE, shipped=3, order_version=3))


def test_received_units_are_on_hand() -> None:
    balance = Balance(on_hand=5, available=5, received=5)
    scenario = given().when(ReceiveStock(quantity=5)).then(StockReceived(balance=balance, quantity=5))
    assert scenario.stock.exists
    assert scenario.stock.status == "AVAILABLE"
    scenario.asked_again().then_balance(on_hand=10, available=10, received=10)


def test_setting_makes_the_given_quantity_available() -> None:
    scenario = given(*HELD).when(SetStock(quantity=20))
    scenario.then_moved((StockAdjusted, {"delta": 14, "reason": "set"})).asked_again().then_quiet()
    scenario.then_balance(on_hand=24, allocated=4, available=20, received=10, adjusted=14)


def test_setting_creates_a_product_even_with_no_units() -> None:
    scenario = given().when(SetStock(quantity=0)).then_moved((StockAdjusted, {"delta": 0}))
    assert scenario.stock.status == "OUT_OF_STOCK"
    scenario.asked_again().then_quiet()


def test_the_units_on_hand_are_corrected() -> None:
    scenario = given(*HELD).when(AdjustStock(delta=-6, reason="count", expected_on_hand=10))
    scenario.then_moved((StockAdjusted, {"delta": -6, "reason": "count"}))
    scenario.then_balance(on_hand=4, allocated=4, available=0, adjusted=-6)
    scenario.asked_again().then_rejected(StaleQuantity, expected=10, onHand=4)


def test_no_more_units_can_be_removed_than_are_on_hand() -> None:
    asked = AdjustStock(delta=-11)
    given(*HELD).when(asked).then_rejected(InsufficientStock, productId="boots", asked=11, available=10)


@pytest.mark.parametrize(
    "command",
    [
        AdjustStock(delta=0),
        AdjustStock(delta=MAX_STOCK),
        ReceiveStock(quantity=MAX_STOCK),
        SetStock(quantity=MAX_STOCK),
    ],
)
def test_invalid_quantities_are_refused(command: Command) -> None:
    scenario = given(*HELD).when(command)
    assert type(scenario.refusal) is InvalidQuantity


@pytest.mark.parametrize("more", [ReceiveStock(quantity=1), AdjustStock(delta=1), SetStock(quantity=MAX_STOCK)])
def test_a_product_has_a_largest_number_of_units_on_hand(more: Command) -> None:
    full = given().when(ReceiveStock(quantity=MAX_STOCK)).then_types(StockReceived)
    if isinstance(more, SetStock):
        full.when(more).then_quiet()  # it has them already
    else:
        assert type(full.when(more).refusal) is InvalidQuantity


@pytest.mark.parametrize(
    "command",
    [
        AdjustStock(delta=1),
        ReserveStock(order_id="o-1", quantity=1),
        ReleaseStock(**LINE, keep=0),
        ShipStock(**LINE, shipped=1),
        UnshipStock(**LINE, shipped=1),
        RestockReturn(**LINE, received=1),
        FillBackorders(),
        DiscontinueProduct(),
        ReactivateProduct(),
    ],
)
def test_commands_to_an_unknown_product_are_rejected(command: Command) -> None:
    given().when(command).then_rejected(ProductNotFound, productId="boots")


def test_shipped_units_leave_the_warehouse() -> None:
    scenario = given(*HELD).when(ShipStock(**LINE, shipped=3, order_version=3))
    scenario.then_moved((StockShipped, {"quantity": 3, "shipped": 3, "reserved": 4})).asked_again().then_quiet()
    scenario.then_balance(on_hand=7, allocated=1, available=6, shipped=3)
    scenario.when(ShipStock(**LINE, shipped=3, order_version=4)).then_quiet()
    scenario.when(ShipStock(**LINE, shipped=4, order_version=4)).then_moved(
        (StockShipped, {"quantity": 1, "shipped": 4})
    )


def test_no_more_units_leave_than_are_reserved() -> None:
    given(*HELD).when(ShipStock(**LINE, shipped=9, order_version=3)).then_moved((StockShipped, {"quantity": 4}))
    given(*HELD).when(ShipStock(order_id="o-2", line_id="1", shipped=9, order_version=3)).then_quiet()


def test_a_second_shipment_sends_only_the_units_that_have_not_left() -> None:
    scenario = given(*HELD, ShipStock(**LINE, shipped=1, order_version=3))
    scenario.when(ShipStock(**LINE, shipped=2, order_version=4)).then_moved(
        (StockShipped, {"quantity": 1, "shipped": 2, "reserved": 4})
    )
    scenario.then_balance(on_hand=8, allocated=2, available=6, shipped=2)


def test_a_cancelled_shipment_is_reserved_again() -> None:
    scenario = given(*SENT).when(UnshipStock(**LINE, shipped=1, order_version=4))
    scenario.then_moved((StockUnshipped, {"quantity": 2, "shipped": 1, "reserved": 4})).asked_again().then_quiet()
    scenario.then_balance(on_hand=9, allocated=3, available=6, shipped=1)
    scenario.when(UnshipStock(**LINE, shipped=1, order_version=5)).then_quiet()
    given(*HELD).when(UnshipStock(order_id="o-2", line_id="1", shipped=0, order_version=3)).then_quiet()


@pytest.mark.parametrize(
    "late",
    [
        ReserveStock(**LINE, quantity=4, order_version=1),
        ShipStock(**LINE, shipped=3, order_version=3),
        UnshipStock(**LINE, shipped=0, order_version=2),
        ReleaseStock(**LINE, keep=0, order_version=4),
        RestockReturn(**LINE, received=1, order_version=4),
    ],
)
def test_a_command_older_than_the_last_one_applied_has_no_effect(late: Command) -> None:
    given(*SENT, UnshipStock(**LINE, shipped=1, order_version=4)).when(late).then_quiet()


def test_returned_units_are_available_again_unless_damaged() -> None:
    scenario = given(*SENT).when(RestockReturn(**LINE, received=3, damaged=1, order_version=6))
    fields = {"quantity": 2, "damaged": 1, "total_received": 3, "total_damaged": 1, "reserved": 4}
    scenario.then_moved((StockRestocked, fields)).asked_again().then_quiet()
    scenario.then_balance(on_hand=9, available=8, restocked=2, damaged=1)
    scenario.when(RestockReturn(**LINE, received=3, damaged=1, order_version=7)).then_quiet()
    scenario.when(ShipStock(**LINE, shipped=4, order_version=8)).then_types(StockShipped)  # returned units stay counted
    scenario.when(RestockReturn(**LINE, received=3, damaged=1, order_version=9)).then_quiet()


@pytest.mark.parametrize("figures", [{"received": 1, "damaged": 0}, {"received": 2, "damaged": 3}])
def test_returned_totals_never_decrease(figures: dict[str, int]) -> None:
    before = RestockReturn(**LINE, received=2, damaged=1, order_version=6)
    scenario = given(*SENT, before).when(RestockReturn(**LINE, **figures, order_version=7))
    assert type(scenario.refusal) is InvalidQuantity


BY_HAND = [
    ReleaseStock(**LINE, keep=0),
    ReleaseStock(**LINE, quantity=1),
    ShipStock(**LINE, shipped=4),
    UnshipStock(**LINE, shipped=0),
    RestockReturn(**LINE, received=1),
]


@pytest.mark.parametrize("command", BY_HAND)
def test_an_order_lines_stock_moves_only_with_the_order(command: Command) -> None:
    scenario = given(*SENT).when(command)
    scenario.then_rejected(OrderLineByHand, orderId="o-1", lineId="1")
    balance = scenario.stock.balance
    assert scenario.asked_again().stock.balance == balance


@pytest.mark.parametrize("line_id", [MANUAL, "1"])
def test_a_manual_line_may_be_shipped_and_returned_manually(line_id: str) -> None:
    manual: dict[str, Any] = {"order_id": "ann", "line_id": line_id}
    scenario = given(ReceiveStock(quantity=5), ReserveStock(**manual, quantity=3))
    scenario.when(ShipStock(**manual, shipped=2)).then_moved((StockShipped, {"quantity": 2}))
    scenario.when(RestockReturn(**manual, received=1)).then_moved((StockRestocked, {"quantity": 1}))
    scenario.when(ReleaseStock(**manual, quantity=1)).then_balance(on_hand=4, allocated=0)


def test_a_manual_line_ships_no_units_that_it_never_got() -> None:
    asked = ReserveStock(order_id="ann", line_id="1", quantity=5)
    given(ReceiveStock(quantity=3), asked).when(ShipStock(order_id="ann", line_id="1", shipped=5)).then_moved(
        (StockShipped, {"quantity": 3, "backordered": 2, "set_back": 0})
    )


def test_a_history_that_cannot_have_happened_is_refused() -> None:
    totals = {**LINE, "balance": Balance(), "quantity": 1, "reserved": 0, "backordered": 0, "rejected": 0}
    for wrong in (Balance(on_hand=-1, available=-1), Balance(on_hand=5, available=4), Balance(backordered=-1)):
        with pytest.raises(CorruptHistory):
            evolve_stock(Stock(), StockReceived(balance=wrong, quantity=1))
    with pytest.raises(CorruptHistory):
        evolve_reservation(None, StockReleased(**totals), 1)
    with pytest.raises(CorruptHistory):
        evolve_reservation(Reservation(**LINE), StockShipped(**totals, shipped=1), 1)
    with pytest.raises(CorruptHistory):
        evolve_reservation(Reservation(**LINE), StockReserved(**{**totals, "backordered": 1}), 1)


# --- setting the same quantity again


def waiting(units: int, order: str = "o-9") -> ReserveStock:
    return ReserveStock(order_id=order, line_id="1", quantity=units, order_version=1)


EMPTY = (SetStock(quantity=0), waiting(30))


@pytest.mark.parametrize(("quantity", "available", "backordered"), [(100, 70, 0), (30, 0, 0), (20, 0, 10)])
def test_setting_the_same_quantity_while_lines_wait_changes_nothing(
    quantity: int, available: int, backordered: int
) -> None:
    scenario = given(*EMPTY).when(SetStock(quantity=quantity))
    scenario.then_types(StockAdjusted, StockReserved)
    for _ in range(2):
        scenario.then_balance(on_hand=quantity, available=available, backordered=backordered)
        scenario.asked_again().then_quiet()


def test_setting_another_quantity_sets_what_is_available() -> None:
    scenario = given(*EMPTY, SetStock(quantity=100)).when(SetStock(quantity=80))
    scenario.then_moved((StockAdjusted, {"delta": 10})).then_balance(on_hand=110, available=80)
    scenario.asked_again().then_quiet()
    scenario.when(waiting(15, "o-8")).when(SetStock(quantity=80)).then_moved((StockAdjusted, {"delta": 15}))
    scenario.when(SetStock(quantity=100)).then_balance(on_hand=145, available=100)


def test_units_given_to_waiting_lines_count_until_something_else_changes_the_units_on_hand() -> None:
    reserved = given(*EMPTY, SetStock(quantity=100), waiting(5, "o-8"))
    reserved.when(SetStock(quantity=100)).then_moved((StockAdjusted, {"delta": 5})).asked_again().then_quiet()
    reserved.then_balance(on_hand=105, available=70)
    for change in (ReceiveStock(quantity=5), AdjustStock(delta=-5), ShipStock(**NINE, shipped=1, order_version=2)):
        changed = given(*EMPTY, SetStock(quantity=100), change).when(SetStock(quantity=100))
        changed.then_balance(available=100).asked_again().then_quiet()


def test_units_given_after_the_units_on_hand_changed_do_not_count() -> None:
    served = given(SetStock(quantity=100), ReceiveStock(quantity=5), waiting(200), ReceiveStock(quantity=10))
    served.when(SetStock(quantity=100)).then_moved((StockAdjusted, {"delta": 100}), (StockReserved, {"quantity": 85}))


def test_units_that_come_back_are_not_removed_by_setting_again() -> None:
    back = given(*EMPTY, SetStock(quantity=100), ReleaseStock(**NINE, keep=10, order_version=2))
    back.then_balance(on_hand=100, available=90)
    back.when(SetStock(quantity=100)).then_quiet()
    back.when(ReleaseStock(**NINE, keep=0, order_version=3)).then_balance(available=100)
    back.when(SetStock(quantity=100)).then_quiet()


def test_lines_served_by_later_decisions_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backorders, "FILL_LIMIT", 2)
    many = [waiting(10, f"o-{number}") for number in range(5)]
    scenario = given(SetStock(quantity=0), *many, SetStock(quantity=100)).when(SetStock(quantity=100)).then_quiet()
    for _ in range(2):
        scenario.when(FillBackorders())
        scenario.when(SetStock(quantity=100)).then_quiet()
    scenario.then_balance(on_hand=100, available=50, backordered=0)


def test_an_event_without_the_set_quantity_is_read_as_before() -> None:
    seven = Balance(on_hand=7, available=7, adjusted=7)
    older = given(SetStock(quantity=0), StockAdjusted(balance=seven, delta=7, reason="set"))
    older.when(SetStock(quantity=7)).then_quiet()
    older.when(SetStock(quantity=9)).then_moved((StockAdjusted, {"delta": 2, "set_to": 9}))
