"""Limits of data that accumulates: shipments and returns of an order, and the totals of a product."""

import itertools
from collections.abc import Iterator

import pytest
from domain_scenarios import BACKORDER, OrderScenario, StockScenario, new, place, record, some
from msgspec.structs import replace
from pydantic import ValidationError

from domain.errors import InvalidQuantity, TooManyReturns, TooManyShipments
from domain.inventory import Stock, evolve_stock
from domain.inventory.commands import AdjustStock, ReceiveStock, ReserveStock, RestockReturn, SetStock, ShipStock
from domain.inventory.events import Balance, ReservationRejected, StockBackordered, StockReceived, StockRestocked
from domain.message import MAX_MOVED, MAX_STOCK, MAX_VERSION, Command
from domain.orders import OrderState, room
from domain.orders.commands import (
    CancelShipment,
    CountedLine,
    CreateShipment,
    DeliverShipment,
    OrderStatus,
    ReceiveReturn,
    RecordAllocation,
    RequestReturn,
    UpdateStatus,
)
from domain.orders.state import Return, ReturnLineState
from streams.messages.strict import read_command

given = OrderScenario
ALLOCATED = (place(new(quantity=3)), record(reserved=3))
DELIVERED = (*ALLOCATED, CreateShipment(shipment_id="s"), DeliverShipment(shipment_id="s"))


def until_refused(scenario: OrderScenario, rounds: Iterator[list[Command]]) -> int:
    """Repeat commands; return how many rounds were accepted."""
    for number, commands in enumerate(rounds):
        assert number < 10_000, "there is no end"
        for command in commands:
            if scenario.when(command).refusal is not None:
                return number
    raise AssertionError


def test_an_order_takes_a_limited_number_of_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_BYTES", 5_000)
    scenario = given(*DELIVERED)
    none = (CountedLine(line_id="1", received=0),)
    taken = until_refused(
        scenario,
        (
            [RequestReturn(return_id=f"r{n}", lines=some(boots=1)), ReceiveReturn(return_id=f"r{n}", lines=none)]
            for n in itertools.count()
        ),
    )
    assert taken > 20
    assert isinstance(scenario.refusal, TooManyReturns)
    assert scenario.refusal.details == {"returns": taken, "bytes": scenario.refusal.details["bytes"], "limit": 5_000}
    scenario.when(
        RequestReturn(return_id="r0", lines=some(boots=1))
    ).then_quiet()  # existing shipments and returns are still known
    assert scenario.order is not None
    assert len(scenario.order.returns) == taken


def test_an_order_takes_a_limited_number_of_shipments_cancelled_ones_included(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_BYTES", 5_000)
    scenario = given(*ALLOCATED)
    cycle = ([CreateShipment(shipment_id=f"s{n}"), CancelShipment(shipment_id=f"s{n}")] for n in itertools.count())
    taken = until_refused(scenario, cycle)
    assert taken > 20
    assert isinstance(scenario.refusal, TooManyShipments)
    for status in (OrderStatus.SHIPPED, OrderStatus.PARTIALLY_SHIPPED):
        scenario.when(UpdateStatus(status=status))
        assert isinstance(scenario.refusal, TooManyShipments)


@pytest.mark.parametrize(("spare", "refused"), [(0, True), (1, False)])
def test_the_limit_is_a_number_of_bytes(spare: int, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last shipment or return may exceed it."""
    two = [CreateShipment(shipment_id=name, lines=some(boots=1)) for name in "st"]
    arrived = [DeliverShipment(shipment_id=name) for name in "st"]
    scenario = given(*ALLOCATED, *two, *arrived, *[RequestReturn(return_id=name, lines=some(boots=1)) for name in "qr"])
    order = scenario.order
    assert order is not None
    for parcels, command, what, no in (
        (order.shipments, CreateShipment(shipment_id="u", lines=some(boots=1)), "shipments", TooManyShipments),
        (order.returns, RequestReturn(return_id="u", lines=some(boots=1)), "returns", TooManyReturns),
    ):
        size = room._size(parcels)
        monkeypatch.setattr(room, "MAX_BYTES", size + spare)
        scenario.when(command)
        if refused:
            scenario.then_rejected(no, **{what: 2, "bytes": size, "limit": size})
        else:
            assert type(scenario.refusal) is not no


def test_an_order_that_exceeds_a_later_limit_can_be_completed() -> None:
    scenario = given(*ALLOCATED, CreateShipment(shipment_id="s", lines=some(boots=2)), DeliverShipment(shipment_id="s"))
    scenario.when(CreateShipment(shipment_id="t", lines=some(boots=1)))
    scenario.when(RequestReturn(return_id="open", lines=some(boots=1)))
    assert scenario.order is not None
    line = ReturnLineState("1", 1)
    many = tuple(Return(f"{'r' * 100}{number}", False, (line,), "x" * 1_000) for number in range(300))
    order = replace(scenario.order, returns=(*scenario.order.returns, *many))
    scenario.state = OrderState("o-1", order)
    scenario.when(RequestReturn(return_id="another", lines=some(boots=1)))
    assert isinstance(scenario.refusal, TooManyReturns)
    for command in (ReceiveReturn(return_id="open"), DeliverShipment(shipment_id="t")):
        assert scenario.when(command).events, scenario.refusal
    assert scenario.order.status == "DELIVERED"


# --- numbers


class WithFigures(StockScenario):
    """A product whose figures do not add up: no commands led to them."""

    def obeys_the_laws(self) -> None:
        pass


def a_product(**figures: int) -> StockScenario:
    """Return a product that has moved more units than the commands of a test could."""
    scenario = WithFigures()
    scenario.shelf.stock = Stock(exists=True, balance=Balance(**figures))
    return scenario


@pytest.mark.parametrize(
    ("figures", "command"),
    [
        ({"received": MAX_MOVED}, ReceiveStock(quantity=1)),
        ({"received": MAX_MOVED - 1}, ReceiveStock(quantity=2)),
        ({"adjusted": MAX_MOVED}, AdjustStock(delta=1)),
        ({"adjusted": MAX_MOVED}, SetStock(quantity=1)),
        ({"restocked": MAX_MOVED}, RestockReturn(order_id="o", line_id="1", received=1, order_version=1)),
        ({"damaged": MAX_MOVED}, RestockReturn(order_id="o", line_id="1", received=1, damaged=1, order_version=1)),
    ],
)
def test_no_total_of_a_product_exceeds_the_largest_number_that_can_be_counted(
    figures: dict[str, int], command: Command
) -> None:
    scenario = a_product(**figures).when(command)
    assert isinstance(scenario.refusal, InvalidQuantity)
    assert str(MAX_MOVED) in scenario.refusal.message


def test_a_total_may_reach_the_largest_number_and_one_that_stays_is_not_checked() -> None:
    a_product(received=MAX_MOVED - 1).when(ReceiveStock(quantity=1)).then_moved((StockReceived, {"quantity": 1}))
    damaged = RestockReturn(order_id="o", line_id="1", received=1, damaged=1, order_version=1)
    a_product(restocked=MAX_MOVED + 1).when(damaged).then_moved((StockRestocked, {"quantity": 0, "damaged": 1}))


def test_a_product_whose_totals_are_exhausted_is_still_sold() -> None:
    scenario = a_product(received=MAX_MOVED, adjusted=5 - MAX_MOVED, on_hand=5, available=5)
    line = {"order_id": "o", "line_id": "1"}
    assert scenario.when(ReserveStock(**line, quantity=3, order_version=1)).events
    assert scenario.when(ShipStock(**line, shipped=3, order_version=2)).events
    assert scenario.when(AdjustStock(delta=-1)).events


def test_an_order_line_is_refused_when_no_more_units_can_wait() -> None:
    scenario = a_product(backordered=MAX_MOVED - 1)
    asked = ReserveStock(order_id="o", line_id="1", quantity=2, policy=BACKORDER, order_version=1)
    scenario.when(asked).then_moved((ReservationRejected, {"quantity": 2, "reason": "INSUFFICIENT_STOCK"}))
    a_product(backordered=MAX_MOVED - 2).when(asked).then_moved((StockBackordered, {"quantity": 2}))


def test_no_sum_of_totals_is_inexact_anywhere() -> None:
    """`shipped` and `on_hand` have no limit of their own: together they are the sum of three limited totals."""
    assert 3 * MAX_MOVED + MAX_STOCK <= MAX_VERSION


NOTHING = {"lineId": "1", "reserved": 0, "backordered": 0, "rejected": 0}


@pytest.mark.parametrize("number", [2**53, 2**63, 2**64 - 1, 2**70, 1e400, float("nan"), -0.0, 1.0, True, "1"])
def test_versions_that_no_store_can_represent_are_refused(number: object) -> None:
    with pytest.raises(ValidationError):
        read_command(ReserveStock, {"orderId": "o", "quantity": 1, "orderVersion": number})
    with pytest.raises(ValidationError):
        read_command(RecordAllocation, {**NOTHING, "stockVersion": number})


def test_a_product_beyond_the_limits_still_reads_its_history() -> None:
    balance = Balance(on_hand=2**62, available=2**62, received=2**62)
    assert evolve_stock(Stock(), StockReceived(balance=balance, quantity=2**62)).balance.received == 2**62
