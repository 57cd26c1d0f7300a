"""Counts that find fewer units than are reserved."""

import pytest
from domain_scenarios import OrderScenario, StockScenario, place, record

from domain.errors import InvalidQuantity, StaleQuantity
from domain.inventory import requeueing, told
from domain.inventory.commands import (
    AdjustStock,
    CountStock,
    DiscontinueProduct,
    FillBackorders,
    ReceiveStock,
    ReleaseStock,
    ReserveStock,
    ShipStock,
    UnshipStock,
)
from domain.inventory.events import (
    ReservationRejected,
    StockAdjusted,
    StockReceived,
    StockReleased,
    StockRequeued,
    StockReserved,
    StockShipped,
)
from domain.message import Command
from domain.orders.commands import CancelShipment, CreateShipment
from domain.orders.events import AllocationRecorded

given = StockScenario


def reserve(order: str, units: int) -> ReserveStock:
    return ReserveStock(order_id=order, line_id="1", quantity=units, order_version=1)


THREE = (ReceiveStock(quantity=10), reserve("z", 4), reserve("a", 3), reserve("m", 2))  # 9 reserved of 10


@pytest.mark.parametrize("command", [CountStock(quantity=5, reason="stocktaking"), AdjustStock(delta=-5)])
def test_the_newest_reservations_wait_again_for_units_that_are_missing(command: Command) -> None:
    counted = given(*THREE).when(command)
    counted.then_moved(
        (StockRequeued, {"order_id": "m", "quantity": 2, "reserved": 0, "backordered": 2, "place": -1}),
        (StockRequeued, {"order_id": "a", "quantity": 2, "reserved": 1, "backordered": 2, "place": -2}),
        (StockAdjusted, {"delta": -5}),
    )
    counted.then_balance(on_hand=5, allocated=5, available=0, backordered=4, adjusted=-5)
    assert told(counted.events) == {
        "returnedToWaiting": [
            {"orderId": "m", "lineId": "1", "quantity": 2},
            {"orderId": "a", "lineId": "1", "quantity": 2},
        ]
    }


def test_a_count_that_is_repeated_changes_nothing() -> None:
    counted = given(*THREE).when(CountStock(quantity=5))
    counted.asked_again().then_quiet()
    assert told(counted.events) is None


def test_a_count_of_more_units_serves_waiting_lines() -> None:
    found = given(*THREE, CountStock(quantity=5)).when(CountStock(quantity=8))
    found.then_moved(
        (StockAdjusted, {"delta": 3}),
        (StockReserved, {"order_id": "a", "quantity": 2, "place": -2}),
        (StockReserved, {"order_id": "m", "quantity": 1, "place": -1}),
    )


def test_lines_that_lost_units_are_served_before_lines_that_already_waited() -> None:
    waiting = given(ReceiveStock(quantity=4), reserve("a", 4), reserve("b", 2), CountStock(quantity=1))
    waiting.when(ReceiveStock(quantity=4)).then_moved(
        (StockReceived, {"quantity": 4}),
        (StockReserved, {"order_id": "a", "quantity": 3}),
        (StockReserved, {"order_id": "b", "quantity": 1}),
    )


def test_a_line_that_already_waits_waits_in_front_with_all_its_units() -> None:
    scenario = given(ReceiveStock(quantity=4), reserve("a", 2), reserve("b", 5)).when(CountStock(quantity=1))
    scenario.then_moved(
        (StockRequeued, {"order_id": "b", "quantity": 2, "backordered": 5, "place": -1}),
        (StockRequeued, {"order_id": "a", "quantity": 1, "backordered": 1, "place": -2}),
        (StockAdjusted, {"delta": -3}),
    )


def test_a_count_creates_a_product() -> None:
    assert given().when(CountStock(quantity=0)).then_types(StockAdjusted).stock.exists
    given().when(CountStock(quantity=7)).then_balance(on_hand=7, available=7, adjusted=7)


def test_a_count_that_expects_another_quantity_is_rejected() -> None:
    asked = CountStock(quantity=5, expected_on_hand=9)
    given(*THREE).when(asked).then_rejected(StaleQuantity, expected=9, onHand=10)


def test_a_manual_reservation_waits_and_is_released_too() -> None:
    scenario = given(ReceiveStock(quantity=5), ReserveStock(order_id="ann", quantity=4), CountStock(quantity=1))
    scenario.when(ReleaseStock(order_id="ann", quantity=4)).then_moved(
        (StockReleased, {"quantity": 1, "unqueued": 3, "backordered": 0})
    )


def test_units_of_a_discontinued_product_are_rejected_because_none_will_come() -> None:
    scenario = given(*THREE, DiscontinueProduct()).when(CountStock(quantity=8))
    scenario.then_moved((StockRequeued, {"order_id": "m", "quantity": 1, "more": True}), (StockAdjusted, {}))
    scenario.when(FillBackorders()).then_moved((ReservationRejected, {"order_id": "m", "quantity": 1}))


def test_a_count_names_the_next_step_when_too_many_reservations_would_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requeueing, "REQUEUE_LIMIT", 2)
    scenario = given(*THREE).when(CountStock(quantity=0))
    assert isinstance(scenario.refusal, InvalidQuantity)
    assert scenario.refusal.message.endswith("in several steps, first to 4")
    scenario.when(CountStock(quantity=4)).then_types(StockRequeued, StockRequeued, StockAdjusted)
    scenario.when(CountStock(quantity=0)).then_types(StockRequeued, StockAdjusted)


# --- units that left while they were counted


SHIP = ShipStock(order_id="m", line_id="1", shipped=2, order_version=3)


def test_units_that_left_before_they_were_counted_are_shipped_and_the_count_is_corrected() -> None:
    late = given(*THREE, CountStock(quantity=7)).when(SHIP)
    late.then_moved(
        (
            StockShipped,
            {"quantity": 2, "reserved": 2, "backordered": 0, "set_back": 2, "unqueued": 2, "uncounted": 2},
        )
    )
    late.then_balance(on_hand=7, allocated=7, available=0, backordered=0, adjusted=-1, shipped=2)
    late.asked_again().then_quiet()
    late.when(UnshipStock(order_id="m", line_id="1", shipped=0, order_version=4)).then_balance(on_hand=9, allocated=9)


def test_rejected_units_that_left_before_they_were_counted_are_shipped_too() -> None:
    late = given(*THREE, DiscontinueProduct(), CountStock(quantity=7), FillBackorders()).when(SHIP)
    late.then_moved((StockShipped, {"set_back": 2, "unqueued": 0, "uncounted": 2, "rejected": 2}))


def test_an_order_that_has_shipped_the_units_remembers_that_stock_took_them_back() -> None:
    shipped = OrderScenario(place(), record(reserved=2, version=3), CreateShipment(shipment_id="s"))
    shipped.when(record(reserved=1, backordered=1, version=4)).then_types(AllocationRecorded)
    assert (shipped.line().shipped, shipped.line().allocated, shipped.line().backordered) == (2, 0, 0)
    shipped.when(CancelShipment(shipment_id="s")).when(record(reserved=1, backordered=1, version=4)).then_quiet()
    assert (shipped.line().shipped, shipped.line().allocated) == (0, 2)
