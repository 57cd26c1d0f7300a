"""A command whose id is in use is the same command only if every one of its fields is: each field is changed in turn.

A field that is added to one of these commands fails here until the table below has another value for it.
"""

from collections.abc import Mapping
from typing import Any

import pytest
from domain_scenarios import PARTIAL, WORK, OrderScenario, new, place, price, record, some
from msgspec import Struct
from msgspec.structs import fields, replace

from domain.errors import OrderExists, Rejection, ReturnExists, ShipmentExists
from domain.message import Value, differing
from domain.money import Money
from domain.orders.commands import CreateShipment, DeliverShipment, NewLine, PlaceOrder, RequestReturn, WhenLate
from domain.policy import AllocationPlan

given = OrderScenario
PLACED = place(new(quantity=2))
SHIPPED = CreateShipment(shipment_id="s", lines=some(boots=1), carrier="DHL", tracking_number="1Z")
RETURNED = RequestReturn(return_id="r", lines=some(boots=1), reason="small")
DELIVERED = (PLACED, record(reserved=2), CreateShipment(shipment_id="all"), DeliverShipment(shipment_id="all"))

OTHER: Mapping[type[Struct], Mapping[str, Any]] = {
    PlaceOrder: {
        "customer_id": "bob",
        "lines": (new("socks"),),
        "shipping_address": WORK,
        "billing_address": WORK,
        "total_cost": Money(amount=1, currency="EUR"),
        "policy": PARTIAL,
        "issued_at": "2026-11-23T00:00:00.000Z",
        "ship_by": "2026-11-27T18:00:00.000Z",
        "when_late": WhenLate.CANCEL,
        "backorders_expire_at": "2026-11-27T18:00:00.000Z",
        "allocation": AllocationPlan(locations=("north",)),
    },
    NewLine: {"line_id": "x", "product_id": "socks", "quantity": 3, "price": price(1)},
    CreateShipment: {"lines": some(boots=2), "carrier": "UPS", "tracking_number": "2Z", "location": "north"},
    RequestReturn: {"lines": some(boots=2), "reason": "large"},
}
NAMES: Mapping[type[Struct], str] = {CreateShipment: "shipment_id", RequestReturn: "return_id"}  # the id in use


@pytest.mark.parametrize("kind", OTHER)
def test_there_is_another_value_for_each_field(kind: type[Struct]) -> None:
    missing = {field.name for field in fields(kind)} - OTHER[kind].keys() - {NAMES.get(kind)}
    assert not missing, f"compare {missing} of {kind.__name__} where it is asked again, and give another value here"


@pytest.mark.parametrize("name", OTHER[PlaceOrder])
def test_an_order_with_another_value_of_a_field_is_another_order(name: str) -> None:
    other = replace(PLACED, **{name: OTHER[PlaceOrder][name]})
    (on_wire,) = [field.encode_name for field in fields(PlaceOrder) if field.name == name]
    given(PLACED).when(other).then_rejected(OrderExists, orderId="o-1", differs=[on_wire])


@pytest.mark.parametrize("name", OTHER[NewLine])
def test_an_order_with_another_value_of_a_line_is_another_order(name: str) -> None:
    other = replace(PLACED, lines=(replace(PLACED.lines[0], **{name: OTHER[NewLine][name]}),))
    given(PLACED).when(other).then_rejected(OrderExists, orderId="o-1", differs=["lines"])


@pytest.mark.parametrize(
    ("history", "command", "no"),
    [((PLACED, record(reserved=2)), SHIPPED, ShipmentExists), (DELIVERED, RETURNED, ReturnExists)],
)
def test_another_value_of_a_field_means_another_shipment_or_return(
    history: tuple[Any, ...], command: Any, no: type[Rejection]
) -> None:
    for name, value in OTHER[type(command)].items():
        with_other = given(*history, command).when(replace(command, **{name: value}))
        assert type(with_other.refusal) is no, name
    given(*history, command).when(command).then_quiet()


def test_a_field_that_cannot_be_compared_is_an_error() -> None:
    class Kept(Value):
        size: int = 1

    class Asked(Kept):
        gift_wrap: bool = False

    assert differing(Asked(), Kept(), {"gift_wrap": False}) == ["giftWrap"]
    with pytest.raises(AttributeError, match="gift_wrap"):
        differing(Asked(), Kept(), {})
