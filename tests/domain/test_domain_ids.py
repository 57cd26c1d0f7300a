"""Ids of new things must be distinguishable; existing ids keep working."""

import pytest
from domain_scenarios import OrderScenario, StockScenario, new, place

from domain import inventory, orders
from domain.errors import InvalidId
from domain.ids import confusable, refuse_confusable
from domain.inventory.commands import AdjustStock, ReceiveStock, ReserveStock, SetStock
from domain.inventory.events import Balance, StockReceived
from domain.message import Command
from domain.orders.commands import (
    CancelOrder,
    CancelShipment,
    CreateShipment,
    DeliverShipment,
    LineQuantity,
    PlaceOrder,
    RecordAllocation,
    RequestReturn,
    UpdateStatus,
)
from domain.orders.events import OrderPlaced, PlacedLine, ShipmentCreated, ShippedLine
from domain.orders.status import OrderStatus

CONFUSABLE = [
    *(".", "..", "a/..", "../a", "a/./b", "/.", "./"),
    *(" ", "   ", " a", "a ", "a  b"),
    *("a\u00a0b", "a\u2003b", "\u3000", "a\u202fb"),  # spaces that look like others
    *("a\u200bb", "a\u200db", "a\u00adb", "\ufeffa", "a\u2060b", "a\u180eb", "a\U000e0041b"),  # zero-width characters
    *("a\u202eb", "\u202aa", "a\u2066b", "a\u2069", "a\u200fb", "a\u061cb"),  # writing directions
    *("a\u3164b", "a\u115fb", "a\u2800b", "a\ufe0fb", "a\u034fb", "a\uffa0b"),  # letters and marks without a shape
    *("a\ue000b", "a\U0010ffffb", "a\ufdd0b", "a\u0378b", "a\ud800b"),  # private, unassigned, half of a surrogate pair
    *("cafe\u0301", "\u212b", "\u1112\u1161\u11ab", "A\u030a", "\u2126"),  # not in NFC
    *("\u0301a", "\u20e3"),  # combining marks, which would attach to the preceding character
]
FINE = [
    *("1", "order-1001", "walking boots", "a/b", "a/b?c#d%20", "50%", "ORDER", "order", "x" * 128),
    *("...", "a..b", ".hidden", "a.", "..a", "~!@#$^&*()_+={}[]|\\:;\"'<>,"),
    *(
        "été",
        "é漢🧦",
        "Ωμέγα",
        "हिन्दी",
        "한국어",
        "עברית",
        "العربية",
        "ไทย",
        "Straße",
        "İstanbul",
        "\u00e9",
        "ñ",
        "Ⅷ",
        "½",
    ),
]


@pytest.mark.parametrize("identifier", CONFUSABLE)
def test_a_confusable_id_is_refused_with_a_reason(identifier: str) -> None:
    assert (confusable(identifier) or "").startswith("must ")
    with pytest.raises(InvalidId) as error:
        refuse_confusable("orderId", identifier)
    assert error.value.details == {"field": "orderId", "id": identifier, "reason": confusable(identifier)}


@pytest.mark.parametrize("identifier", FINE)
def test_other_ids_are_accepted_in_any_script(identifier: str) -> None:
    assert confusable(identifier) is None
    refuse_confusable("orderId", identifier)


def test_the_refused_character_is_named() -> None:
    assert "U+200B (ZERO WIDTH SPACE)" in (confusable("a\u200bb") or "")
    assert "U+E000 (an unassigned or private character)" in (confusable("a\ue000") or "")
    assert "NFC" in (confusable("cafe\u0301") or "")


# --- which commands are checked

ODD = "zero\u200bwidth"
GRANTED = RecordAllocation(line_id="1", reserved=2, backordered=0, rejected=0, stock_version=1)
ONE = (LineQuantity(line_id="1", quantity=1),)


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (place(customer_id=ODD), "customerId"),
        (place(new(), new(ODD)), "lines.1.productId"),
        (place(new(line_id=ODD)), "lines.0.lineId"),
    ],
)
def test_a_new_order_names_no_confusable_ids(command: PlaceOrder, field: str) -> None:
    OrderScenario().when(command).then_rejected(InvalidId, field=field, id=ODD, reason=confusable(ODD))


def test_a_new_order_has_no_confusable_id() -> None:
    with pytest.raises(InvalidId, match="orderId: must not be"):
        orders.decide(place(), orders.OrderState(".."))


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (CreateShipment(shipment_id=ODD), "shipmentId"),
        (UpdateStatus(status=OrderStatus.SHIPPED, shipment_id=ODD), "shipmentId"),
        (UpdateStatus(status=OrderStatus.PARTIALLY_SHIPPED, shipment_id=ODD), "shipmentId"),
    ],
)
def test_a_new_shipment_has_no_confusable_id(command: Command, field: str) -> None:
    refused = OrderScenario(place(), GRANTED).when(command)
    refused.then_rejected(InvalidId, field=field, id=ODD, reason=confusable(ODD))


def test_a_new_return_has_no_confusable_id() -> None:
    delivered = OrderScenario(place(), GRANTED, CreateShipment(shipment_id="s"), DeliverShipment(shipment_id="s"))
    refused = delivered.when(RequestReturn(return_id=ODD, lines=ONE))
    refused.then_rejected(InvalidId, field="returnId", id=ODD, reason=confusable(ODD))


@pytest.mark.parametrize("command", [SetStock(quantity=1), SetStock(quantity=0), ReceiveStock(quantity=1)])
def test_a_new_product_has_no_confusable_id(command: inventory.InventoryCommand) -> None:
    with pytest.raises(InvalidId, match="productId: must not"):
        inventory.Shelf(ODD).decide(command)


def test_a_new_manual_reservation_has_no_confusable_id() -> None:
    stocked = StockScenario(ReceiveStock(quantity=5))
    refused = stocked.when(ReserveStock(order_id=ODD, quantity=1))
    refused.then_rejected(InvalidId, field="orderId", id=ODD, reason=confusable(ODD))
    refused = stocked.when(ReserveStock(order_id="o", line_id=ODD, quantity=1))
    refused.then_rejected(InvalidId, field="lineId", id=ODD, reason=confusable(ODD))


# --- existing ids of this kind keep working


def test_an_order_with_odd_ids_can_be_completed() -> None:
    placed = place(customer_id="c")
    lines = (PlacedLine(line_id=ODD, product_id=ODD, quantity=2, price=placed.lines[0].price),)
    event = OrderPlaced(
        customer_id=ODD, lines=lines, shipping_address=placed.shipping_address,
        billing_address=placed.billing_address, total_cost=orders.decide(placed, orders.OrderState("o"))[0].total_cost,  # type: ignore[union-attr]
        policy=placed.policy,
    )  # fmt: skip
    granted = RecordAllocation(line_id=ODD, reserved=2, backordered=0, rejected=0, stock_version=1)
    shipped = ShipmentCreated(shipment_id=ODD, lines=(ShippedLine(line_id=ODD, product_id=ODD, quantity=1, shipped=1),))
    assert OrderScenario(event, granted).when(CancelOrder()).events
    assert OrderScenario(event, granted, shipped).when(DeliverShipment(shipment_id=ODD)).events
    assert OrderScenario(event, granted, shipped).when(CancelShipment(shipment_id=ODD)).events
    again = PlaceOrder(
        customer_id=ODD, lines=(new(ODD, line_id=ODD),), shipping_address=placed.shipping_address,
        billing_address=placed.billing_address,
    )  # fmt: skip
    OrderScenario(event, granted).when(again).then_quiet()


def test_a_product_with_an_odd_id_can_be_restocked_and_reserved_for_orders() -> None:
    shelf = inventory.Shelf(ODD)
    balance = Balance(on_hand=5, available=5, received=5)
    shelf.apply(StockReceived(balance=balance, quantity=5))
    for command in (
        ReceiveStock(quantity=1),
        SetStock(quantity=7),
        AdjustStock(delta=1),
        ReserveStock(order_id=ODD, line_id=ODD, quantity=1, order_version=1),
    ):
        assert shelf.decide(command)
