"""Orders, stock and the process manager together, with messages arriving in every possible order."""

from typing import Any, TypeVar

import pytest
from domain_laws import order_adds_up
from domain_world import World, at_rest, remembered
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from domain.address import Address
from domain.inventory import backorders
from domain.inventory import commands as stock
from domain.orders import commands as order
from domain.orders.status import OrderStatus
from domain.policy import AllocationPolicy

T = TypeVar("T")


def made(kind: type[T], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[T]:
    """Return `kind` with only these fields drawn; `st.builds` would also draw the aliases of required ones."""
    return st.fixed_dictionaries(fields).map(lambda drawn: kind(**drawn))


HOME = Address(street="1 Main St", city="Springfield", zip_code="12345", country="US")
ORDERS = st.sampled_from(["a", "b", "c"])
PRODUCTS = st.sampled_from(["boots", "socks"])
FEW = st.integers(1, 6)
LINES = st.lists(
    made(order.LineQuantity, line_id=st.sampled_from(["1", "1", "2", "3", "1.2", "4"]), quantity=st.integers(1, 4)),
    min_size=1,
    max_size=3,
).map(tuple)
COUNTED = st.lists(
    made(order.CountedLine, line_id=st.sampled_from(["1", "2"]), received=FEW, damaged=st.integers(0, 2)),
    min_size=1,
    max_size=2,
).map(tuple)
SHIPMENTS = st.sampled_from(["s1", "s2", "s3"])
ONE_CENT = order.Price(amount=1, currency="EUR")
ADDED = st.sampled_from(["1", "4", "5", None])
ANY_LINE = st.sampled_from(["1", "2", "3", "4", "1.2", "1.3"])
RETURNS = st.sampled_from(["r1", "r2"])
RECEIPTS = st.sampled_from([None, "p1", "p2"])
HOLDS = st.sampled_from([None, "h1", "h2"])

PLACED = made(
    order.PlaceOrder,
    customer_id=st.just("ann"),
    lines=st.lists(
        made(order.NewLine, product_id=PRODUCTS, quantity=FEW, price=st.just(ONE_CENT)),
        min_size=1,
        max_size=3,
    ).map(tuple),
    shipping_address=st.just(HOME),
    billing_address=st.just(HOME),
    policy=st.sampled_from(AllocationPolicy),
)
CHANGES = st.one_of(
    st.sampled_from([order.CancelOrder(), order.Release()]),
    made(order.Hold, hold_id=HOLDS, reason=st.sampled_from(["", "fraud"])),
    made(order.Release, hold_id=HOLDS),
    made(order.CancelLines, lines=LINES),
    st.just(order.Release()),
    made(order.CreateShipment, shipment_id=SHIPMENTS, lines=st.none() | LINES),
    made(order.CreateShipment, shipment_id=SHIPMENTS, lines=st.none() | LINES),
    made(order.DeliverShipment, shipment_id=SHIPMENTS, lines=st.none() | LINES),
    made(order.CancelShipment, shipment_id=SHIPMENTS),
    made(order.CloseShipment, shipment_id=SHIPMENTS, rest=st.sampled_from(order.Rest)),
    made(order.ChangeShippingAddress, shipping_address=st.just(HOME)),
    made(order.ChangePolicy, policy=st.sampled_from(AllocationPolicy)),
    made(order.AddLine, line_id=ADDED, product_id=PRODUCTS, quantity=FEW, price=st.just(ONE_CENT)),
    made(order.ChangeQuantity, line_id=ANY_LINE, quantity=st.integers(0, 8)),
    made(order.ReplaceProduct, line_id=ANY_LINE, new_line_id=ADDED, product_id=PRODUCTS, quantity=st.none() | FEW),
    made(order.RequestReturn, return_id=RETURNS, lines=LINES),
    made(order.ReceiveReturn, return_id=RETURNS, receipt_id=RECEIPTS, lines=st.none() | COUNTED),
    made(order.UpdateStatus, status=st.sampled_from([status for status in OrderStatus if status != "CANCELLED"])),
)
MOVES = st.one_of(
    made(stock.ReceiveStock, quantity=FEW),
    made(stock.SetStock, quantity=st.integers(0, 12)),
    made(stock.AdjustStock, delta=st.integers(-4, 4)),
    made(stock.CountStock, quantity=st.integers(0, 8)),
    made(stock.ReserveStock, order_id=st.just("a"), quantity=FEW),
    made(stock.ReleaseStock, order_id=st.just("a"), keep=st.integers(0, 2)),
    made(stock.ReleaseStock, order_id=st.just("a"), quantity=FEW),
    st.sampled_from([stock.FillBackorders(), stock.DiscontinueProduct(), stock.ReactivateProduct()]),
)


class Together(RuleBasedStateMachine):
    """People send commands, messages arrive late, twice and in any order between queues; finally all are delivered."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize(boots=st.integers(0, 20), socks=st.integers(0, 20), placed=PLACED)
    def begin(self, boots: int, socks: int, placed: order.PlaceOrder) -> None:
        self.world.tell("inventory", "boots", stock.SetStock(quantity=boots))
        self.world.tell("inventory", "socks", stock.SetStock(quantity=socks))
        self.world.tell("order", "a", placed)

    @rule(key=ORDERS, command=PLACED)
    def place(self, key: str, command: order.PlaceOrder) -> None:
        self.world.tell("order", key, command)

    @rule(key=ORDERS, command=CHANGES)
    def change(self, key: str, command: order.OrderCommand) -> None:
        self.world.tell("order", key, command)

    @rule(key=PRODUCTS, command=MOVES)
    def move(self, key: str, command: stock.InventoryCommand) -> None:
        self.world.tell("inventory", key, command)

    @rule(number=st.integers(0, 11), twice=st.booleans())
    def deliver(self, number: int, twice: bool) -> None:
        self.world.deliver(number, twice)

    @rule(numbers=st.lists(st.integers(0, 11), min_size=1, max_size=12))
    def deliver_many(self, numbers: list[int]) -> None:
        for number in numbers:
            self.world.deliver(number)

    @rule(number=st.integers(0, 200))
    def deliver_again(self, number: int) -> None:
        self.world.deliver_again(number)

    @rule()
    def rest(self) -> None:
        self.world.settle()
        at_rest(self.world)

    @invariant()
    def adds_up(self) -> None:
        for each in self.world.placed.values():
            order_adds_up(each)

    def teardown(self) -> None:
        self.world.settle()
        self.adds_up()
        at_rest(self.world)
        remembered(self.world)


def test_orders_and_stock_agree_once_no_messages_are_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backorders, "FILL_LIMIT", 2)  # one decision is then often not enough
    run_state_machine_as_test(Together, settings=settings(max_examples=80, stateful_step_count=60))
