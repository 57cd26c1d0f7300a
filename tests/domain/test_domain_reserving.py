"""Reservations, backorders and the queue."""

from typing import Any

import pytest
from domain_scenarios import ALL_OR_NOTHING, BACKORDER, PARTIAL, StockScenario
from msgspec.structs import replace

from domain.errors import InsufficientStock, InvalidQuantity, ProductDiscontinued
from domain.inventory import Reservation, Stock, backorders
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
)
from domain.inventory.events import (
    Balance,
    ProductReactivated,
    ReservationRejected,
    StockAdjusted,
    StockBackordered,
    StockReceived,
    StockReleased,
    StockReserved,
    StockRestocked,
)
from domain.inventory.events import (
    ProductDiscontinued as Ended,
)
from domain.message import Command
from domain.policy import AllocationPolicy

given = StockScenario


def reserve(order: str, quantity: int, policy: AllocationPolicy = BACKORDER, version: int = 1) -> ReserveStock:
    return ReserveStock(order_id=order, line_id="1", quantity=quantity, policy=policy, order_version=version)


def release(order: str, keep: int, version: int = 2) -> ReleaseStock:
    return ReleaseStock(order_id=order, line_id="1", keep=keep, order_version=version)


def by_hand(quantity: int) -> ReserveStock:
    return ReserveStock(order_id="ann", quantity=quantity)


FIVE = ReceiveStock(quantity=5)
QUEUE = (FIVE, reserve("a", 7), reserve("b", 2), reserve("c", 3))  # a holds 5 and waits for 2, then b, then c


def waiting(scenario: StockScenario) -> dict[str, int]:
    return {line.order_id: line.waiting for line in scenario.shelf.reservations.values() if line.waiting}


def held(scenario: StockScenario) -> dict[str, int]:
    return {line.order_id: line.held for line in scenario.shelf.reservations.values() if line.held}


@pytest.mark.parametrize("policy", AllocationPolicy)
def test_available_units_are_reserved(policy: AllocationPolicy) -> None:
    scenario = given(FIVE).when(reserve("a", 5, policy))
    scenario.then_moved((StockReserved, {"quantity": 5, "reserved": 5, "place": None, "order_version": 1}))
    scenario.then_balance(on_hand=5, allocated=5, available=0).asked_again().then_quiet()
    scenario.when(reserve("a", 9, version=8)).then_quiet()


@pytest.mark.parametrize(
    ("policy", "last", "totals"),
    [
        (BACKORDER, StockBackordered, {"quantity": 2, "reserved": 5, "backordered": 2, "rejected": 0, "place": 0}),
        (PARTIAL, ReservationRejected, {"quantity": 2, "reserved": 5, "backordered": 0, "rejected": 2}),
    ],
)
def test_missing_units_wait_or_are_refused(policy: AllocationPolicy, last: Any, totals: Any) -> None:
    scenario = given(FIVE).when(reserve("a", 7, policy))
    scenario.then_moved((StockReserved, {"quantity": 5, "reserved": 5, "backordered": 0}), (last, totals))
    scenario.asked_again().then_quiet()


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ((), "PRODUCT_NOT_FOUND"),
        ((FIVE, DiscontinueProduct()), "PRODUCT_DISCONTINUED"),
        ((FIVE,), "INSUFFICIENT_STOCK"),
    ],
)
def test_an_order_line_that_cannot_be_reserved_whole_is_rejected_whole(
    history: tuple[Command, ...], reason: str
) -> None:
    scenario = given(*history).when(reserve("a", 7, ALL_OR_NOTHING))
    totals = {"reserved": 0, "backordered": 0, "rejected": 7, "order_version": 1, "place": None}
    scenario.then_moved((ReservationRejected, {"quantity": 7, "reason": reason, **totals}))
    scenario.then_balance(allocated=0, backordered=0).asked_again().then_quiet()


def test_an_unknown_product_does_not_exist_after_a_reservation() -> None:
    scenario = given(reserve("a", 7))
    assert not scenario.stock.exists
    scenario.when(FIVE).then_moved((StockReceived, {"quantity": 5}))


def test_no_line_overtakes_the_queue() -> None:
    scenario = given(*QUEUE).when(reserve("d", 1)).then_moved((StockBackordered, {"quantity": 1, "place": 3}))
    for policy in (PARTIAL, ALL_OR_NOTHING):
        scenario.when(reserve(policy.value, 1, policy)).then_moved(
            (ReservationRejected, {"reason": "INSUFFICIENT_STOCK"})
        )
    scenario.when(by_hand(1)).then_rejected(InsufficientStock, productId="boots", asked=1, available=0)


@pytest.mark.parametrize(
    ("raising", "kind"), [(ReceiveStock(quantity=3), StockReceived), (AdjustStock(delta=3), StockAdjusted),
                          (SetStock(quantity=3), StockAdjusted)],
)  # fmt: skip
def test_units_that_become_available_go_to_the_line_that_came_first(raising: Command, kind: Any) -> None:
    scenario = given(*QUEUE).when(raising)
    scenario.then_moved(
        (kind, {"more": False}),
        (StockReserved, {"order_id": "a", "quantity": 2, "reserved": 7, "backordered": 0, "place": 0, "more": False}),
        (StockReserved, {"order_id": "b", "quantity": 1, "reserved": 1, "backordered": 1, "place": 1, "more": False}),
    )
    assert waiting(scenario) == {"b": 1, "c": 3}
    assert scenario.stock.queue_head == 1
    scenario.when(ReceiveStock(quantity=9)).then_types(StockReceived, StockReserved, StockReserved)
    assert scenario.stock.queue_head == scenario.stock.queue_tail == 3


def test_filling_the_queue_continues_where_one_decision_was_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert backorders.FILL_LIMIT == 500
    monkeypatch.setattr(backorders, "FILL_LIMIT", 2)
    scenario = given(*QUEUE).when(ReceiveStock(quantity=9))
    scenario.then_types(StockReceived, StockReserved, StockReserved)
    assert [event.more for event in scenario.events] == [False, False, True]
    scenario.when(FillBackorders()).then_moved((StockReserved, {"order_id": "c", "quantity": 3, "more": False}))
    scenario.asked_again().then_quiet()
    scenario.then_balance(allocated=12, available=2, backordered=0)


def test_no_line_overtakes_a_queue_that_is_still_being_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backorders, "FILL_LIMIT", 1)
    scenario = given(*QUEUE, ReceiveStock(quantity=9)).then_balance(available=7, backordered=5)
    scenario.when(by_hand(1)).then_rejected(InsufficientStock, productId="boots", asked=1, available=0)
    scenario.when(reserve("d", 1)).then_moved((StockBackordered, {"quantity": 1, "place": 3}))


def test_no_units_are_promised_when_none_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backorders, "FILL_LIMIT", 2)
    for units in (4, 3):
        scenario = given(*QUEUE).when(ReceiveStock(quantity=units)).then_types(StockReceived, *[StockReserved] * 2)
        assert not any(event.more for event in scenario.events)


def test_a_release_gives_up_waiting_units_first() -> None:
    scenario = given(*QUEUE).when(release("a", keep=5))
    scenario.then_moved((StockReleased, {"quantity": 0, "unqueued": 2, "place": 0, "backordered": 0, "reserved": 5}))
    scenario.asked_again().then_quiet()
    assert held(scenario) == {"a": 5}
    assert scenario.stock.queue_head == 1


def test_released_units_go_to_waiting_lines() -> None:
    scenario = given(*QUEUE).when(release("a", keep=2))
    scenario.then_types(StockReleased, StockReserved, StockReserved).asked_again().then_quiet()
    assert held(scenario) == {"a": 2, "b": 2, "c": 1}
    assert waiting(scenario) == {"c": 2}


def test_units_that_another_line_releases_go_to_the_queue() -> None:
    scenario = given(FIVE, reserve("a", 5), reserve("b", 2), reserve("c", 1)).when(release("a", keep=0))
    scenario.then_moved(
        (StockReleased, {"order_id": "a", "quantity": 5, "unqueued": 0, "place": None}),
        (StockReserved, {"order_id": "b", "quantity": 2}),
        (StockReserved, {"order_id": "c", "quantity": 1}),
    )
    assert (held(scenario), waiting(scenario)) == ({"b": 2, "c": 1}, {})


@pytest.mark.parametrize(("units", "head"), [(1, 0), (2, 1), (3, 1), (4, 2), (6, 2), (7, 3)])
def test_the_queue_begins_at_the_first_line_that_waits(units: int, head: int) -> None:
    scenario = given(*QUEUE).when(ReceiveStock(quantity=units))
    assert scenario.stock.queue_head == head
    assert scenario.stock.given == 0, "it only counts units of stock that was set"


def test_several_lines_of_an_order_wait_and_are_served() -> None:
    second = ReserveStock(order_id="a", line_id="2", quantity=3, order_version=1)
    scenario = given(SetStock(quantity=0), reserve("a", 2), second).when(ReceiveStock(quantity=4))
    scenario.then_moved(
        (StockReceived, {}),
        (StockReserved, {"line_id": "1", "quantity": 2, "reserved": 2, "backordered": 0}),
        (StockReserved, {"line_id": "2", "quantity": 2, "reserved": 2, "backordered": 1}),
    )


def test_a_queue_is_empty_when_its_last_line_leaves() -> None:
    scenario = given(FIVE, reserve("a", 7)).when(release("a", keep=5))
    scenario.then_moved((StockReleased, {"quantity": 0, "unqueued": 2}))
    assert scenario.stock.queue_head == scenario.stock.queue_tail == 1


def test_filling_the_queue_without_units_has_no_effect() -> None:
    given(*QUEUE).when(FillBackorders()).then_quiet()


def test_a_line_that_leaves_the_middle_of_the_queue_moves_no_other_line() -> None:
    scenario = given(*QUEUE, release("b", keep=0))
    assert scenario.stock.queue_head == 0
    scenario.when(ReceiveStock(quantity=3)).then_types(StockReceived, StockReserved, StockReserved)
    assert held(scenario) == {"a": 7, "c": 1}


def test_releasing_units_that_are_kept_or_were_never_reserved_has_no_effect() -> None:
    scenario = given(*QUEUE)
    scenario.when(release("a", keep=7)).then_quiet()
    scenario.when(release("x", keep=0)).then_quiet()
    scenario.when(release("a", keep=0, version=1)).then_quiet()
    one = given(*QUEUE).when(release("a", keep=6))
    one.then_moved((StockReleased, {"quantity": 0, "unqueued": 1, "backordered": 1, "order_version": 2, "place": 0}))
    scenario.when(release("a", keep=0, version=2)).then_types(StockReleased, StockReserved, StockReserved)


def test_filling_the_queue_keeps_the_version_of_the_applied_order_event() -> None:
    sent = ShipStock(order_id="a", line_id="1", shipped=2, order_version=5)
    scenario = given(*QUEUE, sent).when(ReceiveStock(quantity=1))
    scenario.then_moved((StockReceived, {}), (StockReserved, {"order_version": 5, "reserved": 6}))
    scenario.when(release("a", keep=0, version=4)).then_quiet()


def test_a_line_that_returns_units_while_others_of_it_wait_gets_them_back() -> None:
    sent = ShipStock(order_id="a", line_id="1", shipped=5, order_version=3)
    scenario = given(*QUEUE, sent).when(RestockReturn(order_id="a", line_id="1", received=1, order_version=6))
    scenario.then_moved((StockRestocked, {"quantity": 1}), (StockReserved, {"reserved": 6, "order_version": 6}))
    line = scenario.shelf.reservations.get(("a", "1"))
    assert line is not None
    assert (line.held, line.waiting, line.shipped, line.received) == (1, 1, 5, 1)


def test_manual_reservations_add_up() -> None:
    scenario = given(FIVE).when(by_hand(2)).then_moved((StockReserved, {"quantity": 2, "reserved": 2}))
    scenario.asked_again().then_moved((StockReserved, {"quantity": 2, "reserved": 4}))
    scenario.asked_again().then_rejected(InsufficientStock, productId="boots", asked=2, available=1)
    scenario = given(FIVE, DiscontinueProduct()).when(by_hand(1))
    scenario.then_rejected(ProductDiscontinued, productId="boots")


def test_all_available_units_can_be_reserved_manually() -> None:
    given(FIVE).when(by_hand(5)).then_moved((StockReserved, {"quantity": 5})).then_balance(available=0)


def test_manual_reservations_can_be_released_in_part() -> None:
    scenario = given(FIVE, by_hand(3)).when(ReleaseStock(order_id="ann", quantity=2))
    scenario.then_moved((StockReleased, {"quantity": 2, "reserved": 1, "order_version": 0})).asked_again()
    scenario.then_rejected(InvalidQuantity, reason="2 units to release, 1 held")
    scenario.when(ReleaseStock(order_id="bob", quantity=2))
    scenario.then_rejected(InvalidQuantity, reason="2 units to release, 0 held")


def test_units_released_by_a_waiting_line_go_back_to_it_first() -> None:
    scenario = given(*QUEUE).when(ReleaseStock(order_id="a", line_id="1", quantity=3, order_version=2))
    scenario.then_moved(
        (StockReleased, {"quantity": 3, "reserved": 2, "backordered": 2, "unqueued": 0, "place": None}),
        (StockReserved, {"order_id": "a", "quantity": 2, "reserved": 4}),
        (StockReserved, {"order_id": "b", "quantity": 1}),
    )


def test_a_discontinued_product_rejects_waiting_lines_and_keeps_reservations() -> None:
    scenario = given(*QUEUE).when(DiscontinueProduct(reason="old"))
    why = {"reason": "PRODUCT_DISCONTINUED", "backordered": 0, "order_version": 1, "more": False}
    scenario.then_moved(
        (Ended, {"reason": "old"}),
        (ReservationRejected, {"order_id": "a", "quantity": 2, "reserved": 5, "rejected": 2, "place": 0, **why}),
        (ReservationRejected, {"order_id": "b", "quantity": 2, "reserved": 0, "rejected": 2, "place": 1, **why}),
        (ReservationRejected, {"order_id": "c", "quantity": 3, "reserved": 0, "rejected": 3, "place": 2, **why}),
    )
    scenario.asked_again().then_quiet()
    assert scenario.stock.status == "DISCONTINUED"
    assert (held(scenario), waiting(scenario)) == ({"a": 5}, {})
    scenario.when(ShipStock(order_id="a", line_id="1", shipped=5, order_version=2)).then_balance(on_hand=0, shipped=5)


def test_rejecting_waiting_lines_continues_where_one_decision_was_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backorders, "FILL_LIMIT", 2)
    scenario = given(*QUEUE).when(DiscontinueProduct())
    assert [event.more for event in scenario.events] == [False, False, True]
    assert scenario.stock.queue_head == 2
    scenario.when(FIVE).then_types(StockReceived)
    scenario.when(FillBackorders()).then_moved((ReservationRejected, {"order_id": "c", "more": False}))
    scenario.asked_again().then_quiet()


@pytest.mark.parametrize(("units", "more"), [((2, 2), False), ((2, 2, 1), True)])
@pytest.mark.parametrize("command", [DiscontinueProduct(), ReceiveStock(quantity=5)])
def test_a_decision_that_ends_the_queue_needs_no_other(
    command: Command, units: tuple[int, ...], more: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backorders, "FILL_LIMIT", 2)
    queue = [reserve(f"o-{number}", each) for number, each in enumerate(units)]
    scenario = given(SetStock(quantity=0), *queue).when(command)
    assert [event.more for event in scenario.events] == [False, False, more]


def test_a_reactivated_product_serves_the_lines_that_still_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backorders, "FILL_LIMIT", 2)
    scenario = given(*QUEUE, DiscontinueProduct(), FIVE).when(ReactivateProduct())
    scenario.then_moved((ProductReactivated, {}), (StockReserved, {"order_id": "c", "quantity": 3}))
    scenario.asked_again().then_quiet()
    assert scenario.stock.status == "AVAILABLE"


@pytest.mark.parametrize(("units", "lines"), [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (9_999, 3)])
def test_only_the_waiting_lines_that_can_be_served_are_read(
    units: int, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most one more than a decision serves, because the command's own line may leave the queue."""
    monkeypatch.setattr(backorders, "FILL_LIMIT", 2)
    queue = iter([Reservation(f"o-{number}", "1", waiting=2, place=number) for number in range(1_000)])
    assert len(backorders.first_waiting(queue, units)) == lines
    assert next(queue).order_id == f"o-{lines}"


HALF = Reservation("a", "1", held=4, waiting=3)


@pytest.mark.parametrize(
    ("command", "units"),
    [
        (ReceiveStock(quantity=3), 5), (SetStock(quantity=3), 5), (AdjustStock(delta=3), 5),
        (RestockReturn(order_id="o", line_id="1", received=3), 5), (ReactivateProduct(), 2), (FillBackorders(), 2),
        (DiscontinueProduct(), 9), (release("a", keep=0), 2 + 4 + 3),
        (ShipStock(order_id="o", line_id="1", shipped=1), 0), (AdjustStock(delta=-1), 0),
        (AdjustStock(delta=0), 0), (AdjustStock(delta=1), 3),
        (reserve("o", 1), 0),
    ],
)  # fmt: skip
def test_a_command_serves_at_most_the_units_it_makes_available(command: Command, units: int) -> None:
    stock = Stock(exists=True, balance=Balance(available=2, backordered=9), queue_tail=1_000)
    assert backorders.units_to_serve(command, stock, HALF) == units
    assert backorders.units_to_serve(command, replace(stock, balance=Balance(available=2)), HALF) == 0


def test_a_discontinued_product_rejects_all_waiting_lines_when_its_queue_is_continued() -> None:
    stock = Stock(exists=True, discontinued=True, balance=Balance(available=2, backordered=9), queue_tail=1_000)
    assert backorders.units_to_serve(FillBackorders(), stock, None) == 9
