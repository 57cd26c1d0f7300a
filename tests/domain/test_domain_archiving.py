"""Orders that are closed are archived, which changes nothing about them; anything else brings them back."""

from typing import Any

from domain_scenarios import OrderScenario, new, place, record

from domain.orders import Order
from domain.orders.archiving import archive
from domain.orders.commands import CancelOrder, CreateShipment, DeliverShipment, LineQuantity, RequestReturn
from domain.orders.events import OrderArchived, ReturnRequested

given = OrderScenario
BOOTS = place(new("boots", 2))
DELIVERED = (BOOTS, record(reserved=2), CreateShipment(shipment_id="s-1"), DeliverShipment(shipment_id="s-1"))


def order_of(*history: Any) -> Order:
    order = given(*history).order
    assert order is not None
    return order


def test_a_delivered_or_cancelled_order_is_archived() -> None:
    for history in (DELIVERED, (BOOTS, CancelOrder())):
        assert archive(order_of(*history)) == [OrderArchived()]


def test_an_order_that_something_is_expected_of_is_not_archived() -> None:
    for end in range(1, len(DELIVERED)):
        assert archive(order_of(*DELIVERED[:end])) == []


def test_an_archived_order_is_as_it_was() -> None:
    assert given(*DELIVERED, OrderArchived()).order == given(*DELIVERED).order


def test_a_late_return_of_an_archived_order_is_decided_as_before() -> None:
    late = RequestReturn(return_id="r-1", lines=(LineQuantity(line_id="1", quantity=1),), reason="too small")
    order = given(*DELIVERED, OrderArchived()).when(late)
    assert [type(event) for event in order.events] == [ReturnRequested]
