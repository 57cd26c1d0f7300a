"""The folds by themselves: events in, documents out, and arguments are never changed."""

import dataclasses
from typing import Any

import bson
import orjson
import pytest
from msgspec.structs import replace
from projection_histories import allocate, at, order_history, outcome, place, records, stock_history
from projection_scenarios import given_order, given_stock, reserve, ship

from domain.address import Address
from domain.inventory.commands import (
    AdjustStock,
    DiscontinueProduct,
    ReceiveStock,
    ReleaseStock,
    ReserveStock,
    RestockReturn,
    SetStock,
)
from domain.orders import Order
from domain.orders.commands import (
    CancelOrder,
    CountedLine,
    CreateShipment,
    DeliverShipment,
    Hold,
    LineQuantity,
    NewLine,
    OrderCommand,
    Price,
    ReceiveReturn,
    Release,
    RequestReturn,
)
from domain.orders.events import OrderHeld
from domain.policy import AllocationPolicy
from ops.audit.tables import comparable
from ops.kafka.records import BulkRecord
from projections import (
    commands,
    event_log,
    older,
    order_events,
    order_shape,
    orders,
    reservations,
    stock_ledger,
    work_queue,
)
from projections.batch import Part
from projections.document import public
from projections.pipeline import Folding
from projections.table import PROJECTIONS, shape_of
from streams.messages.envelope import EventMessage

WHOLE_LIFE: list[OrderCommand] = [
    place(("boot", 3), ("hat", 1)),
    allocate("boot", 2, backordered=1),
    allocate("hat", 0, rejected=1),
    Hold(reason=""),
    Release(),
    CreateShipment(shipment_id="s-1", carrier="DHL"),
    DeliverShipment(shipment_id="s-1"),
    RequestReturn(return_id="r-1", lines=(LineQuantity(line_id="1", quantity=2),), reason="too small"),
    ReceiveReturn(return_id="r-1", lines=(CountedLine(line_id="1", received=2, damaged=1),)),
]


def test_a_placed_order_is_shown_in_the_shape_of_the_api():
    order = given_order(place(("boot", 3), ("hat", 1), issued_at="2026-11-20T08:00:00.000Z"))
    home = {"street": "1 Main St", "city": "Berlin", "state": "BE", "zipCode": "10115", "country": "DE"}
    line = dict.fromkeys(("backordered", "allocated", "shipped", "delivered", "cancelled", "returned"), 0)
    line |= {"rejected": 0, "damaged": 0, "price": {"currency": "EUR", "value": "12.50"}}
    order.then_shown(
        id="o-1",
        customerId="alice",
        items=[
            {"lineId": "1", "productId": "boot", "quantity": 3, "pending": 3, **line},
            {"lineId": "2", "productId": "hat", "quantity": 1, "pending": 1, **line},
        ],
        status="REGISTERED",
        allocationStatus="PENDING",
        returnStatus="NONE",
        hold=None,
        policy="BACKORDER",
        shippingAddress=home,
        billingAddress=home,
        totalCost={"currency": "EUR", "value": "50.00"},
        shipments=[],
        returns=[],
        version=1,
        issuedAt="2026-11-20T08:00:00.000Z",
        createdAt=at(0),
        updatedAt=at(0),
    )


def test_a_complete_order_leaves_its_traces():
    shipment = {
        "shipmentId": "s-1",
        "status": "DELIVERED",
        "carrier": "DHL",
        "trackingNumber": None,
        "lines": [{"lineId": "1", "quantity": 2, "delivered": 2}],
    }
    returned = {
        "returnId": "r-1",
        "status": "RECEIVED",
        "reason": "too small",
        "lines": [{"lineId": "1", "quantity": 2, "received": 2, "damaged": 1}],
    }
    order = given_order(*WHOLE_LIFE)
    order.then_shown(status="PARTIALLY_DELIVERED", returnStatus="RETURNED", shipments=[shipment], returns=[returned])
    order.then_shown(createdAt=at(0), updatedAt=at(8), version=9)


def test_a_hold_without_a_reason_is_a_hold():
    given_order(place(("boot", 1))).then_shown(hold=None).when(Hold(reason="")).then_shown(hold={"reason": ""})


def shown_of(order: Order) -> Any:
    """Return an order without the fields that only decisions need."""
    returns = tuple(replace(back, receipts=()) for back in order.returns)
    return replace(comparable(order), returns=returns)


@pytest.mark.parametrize("length", range(1, len(WHOLE_LIFE) + 1))
def test_an_order_survives_conversion_to_a_document_and_back(length: int):
    view = given_order(*WHOLE_LIFE[:length]).view
    document = orders.document_of(view)
    assert shown_of(orders.view_of(document).order) == shown_of(view.order)
    assert orders.document_of(orders.view_of(document)) == document


@pytest.mark.parametrize("length", range(1, len(WHOLE_LIFE) + 1))
def test_a_document_of_shape_1_is_read_like_one_of_today(length: int):
    view = given_order(*WHOLE_LIFE[:length]).view
    older = shape_of("orders", 1)
    assert older is not None
    document = older.models[0].document_of(view)
    assert shown_of(older.models[0].view_of(document).order) == shown_of(view.order)
    assert orders.whole(document) == orders.whole(orders.document_of(view))
    shown = orjson.loads(document["_json"])
    assert public(document) == shown
    assert document.keys() - shown.keys() == {"_id", "sequence", "_stockVersions", "_pickableSince", "_json"}


def test_a_document_has_the_queried_fields_and_its_json():
    held = given_order(place(("boot", 3)), allocate("boot", 3), Hold(reason="?"))
    assert held.document == {
        "_id": "o-1",
        "sequence": 3,
        "customerId": "alice",
        "status": "REGISTERED",
        "allocationStatus": "ALLOCATED",
        "hold": {"reason": "?"},
        "createdAt": at(0),
        "updatedAt": at(2),
        "_stockVersions": [1],
        "_json": orjson.dumps(orders.shown_of(held.view)).decode(),
    }
    assert orders.document_of(held.view) == held.document


@pytest.mark.parametrize(
    ("currency", "amount", "value"), [("EUR", 5, "0.05"), ("JPY", 1250, "1250"), ("KWD", 1, "0.001")]
)
def test_money_survives_encoding_and_decoding(currency: str, amount: int, value: str):
    line = NewLine(product_id="boot", quantity=1, price=Price(amount=amount, currency=currency))
    order = given_order(replace(place(), lines=(line,)))
    order.then_shown(totalCost={"currency": currency, "value": value})
    assert order_shape.order_of(order.whole, [0]).lines[0].price.amount == amount


def test_the_history_of_a_customer_shows_sums():
    order = given_order(place(("boot", 3), ("hat", 1)))
    order.then_customer_order(itemCount=2, unitCount=4, customerId="alice")


def test_the_time_since_when_an_order_can_be_picked_stays_the_first_one():
    order = given_order(place(("boot", 3), ("hat", 1)), allocate("boot", 2, backordered=1))
    order.then_work_queue(open=True, since=at(1)).when(allocate("hat", 1)).then_work_queue(open=True, since=at(1))
    (boots, hats) = work_queue.document_of(order.whole)["lines"]
    assert (boots["lineId"], boots["quantity"]) == ("1", 2)
    assert (hats["lineId"], hats["quantity"]) == ("2", 1)


@pytest.mark.parametrize(
    "given",
    [
        [place(("boot", 3))],
        [place(("boot", 3)), allocate("boot", 3), Hold(reason="fraud check")],
        [place(("boot", 3)), allocate("boot", 3), CreateShipment(shipment_id="s-1")],
        [place(("boot", 3)), allocate("boot", 3), CancelOrder()],
        [place(("boot", 3), ("hat", 1), policy=AllocationPolicy.ALL_OR_NOTHING), allocate("boot", 3)],
    ],
    ids=["pending", "held", "shipped", "cancelled", "all or nothing, one pending"],
)
def test_nothing_can_be_picked(given: list[OrderCommand]):
    given_order(*given).then_work_queue(open=False, since=None, lines=[])


def test_a_released_order_joins_the_queue_again():
    held = given_order(place(("boot", 1)), allocate("boot", 1), Hold(reason="x")).then_work_queue(since=None)
    held.when(Release()).then_work_queue(since=at(3))


LOGS = {  # a history, and today's logs and those of shape 1 into which it is written
    "order_events": (ORDER := order_history("o-1", *WHOLE_LIFE), order_events.LOG, older.ORDER_EVENTS),
    "stock_ledger": (
        stock_history(
            "boot",
            ReceiveStock(quantity=10),
            reserve(3),
            ship(3),
            AdjustStock(delta=-2, reason="lost"),
            DiscontinueProduct(reason="end of line"),
        ),
        stock_ledger.LOG,
        older.STOCK_LEDGER,
    ),
}


@pytest.mark.parametrize("name", LOGS)
def test_the_entry_of_an_event_contains_the_event(name: str):
    history, log, _ = LOGS[name]
    assert log.history is not None
    for message, record in zip(history, records(*history), strict=True):
        entry = log.entry(message, record)
        assert log.history.message_of(entry) == message
        assert (entry["_id"], entry["type"]) == (f"{message.key}/{message.sequence:012}", message.type)
        assert entry["message"].encode() == record.value


@pytest.mark.parametrize("name", LOGS)
def test_entries_of_shape_1_are_shown_like_those_of_today(name: str):
    history, log, before = LOGS[name]
    assert log.history is not None
    assert before.history is not None
    for message, record in zip(history, records(*history), strict=True):
        shown = before.history.shown(before.entry(message, record))
        assert shown == log.history.shown(log.entry(message, record))
        assert list(shown) == list(log.history.shown(log.entry(message, record)))
        assert before.history.message_of(before.entry(message, record)).sequence == message.sequence


def test_entries_are_sorted_by_aggregate_and_sequence():
    ids = [
        event_log.entry_id(name, number) for name in ("a", "a/1", "a%2F1", "a-b", "ab") for number in (1, 9, 10, 100)
    ]
    between = order_events.LOG.history.between("a")["_id"]  # type: ignore[union-attr]
    assert [each for each in sorted(ids) if between["$gte"] <= each <= between["$lte"]] == ids[:4]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("key", ["o-1", "ü/%", "a" * 128])
@pytest.mark.parametrize("text", ["", "Straße ☂\x00"])
def test_an_entry_is_encoded_as_its_document(key: str, text: str) -> None:
    message = EventMessage("e-1", key, OrderHeld(reason=text, hold_id="h"), 12, at(0), "test", "c", "m")
    record = BulkRecord(key.encode(), message.encode(), 0, 7, 0)
    assert event_log.encoded(message, record) == bson.encode(event_log.entry(message, record))


def test_a_product_shows_its_balance():
    given_stock(ReceiveStock(quantity=10), reserve(3), reserve(9, "o-2")).then_shown_only(
        id="boot",
        productId="boot",
        exists=True,
        availableQuantity=0,
        allocatedQuantity=10,
        onHandQuantity=10,
        damagedQuantity=0,
        backorderedQuantity=2,
        status="OUT_OF_STOCK",
        version=4,
        createdAt=at(0),
        updatedAt=at(2),
    )


def test_a_product_exists_from_its_first_stock():
    product = given_stock(reserve(1)).then_shown(exists=False, createdAt=None)
    product.when(SetStock(quantity=5)).when(DiscontinueProduct())
    product.then_shown(exists=True, createdAt=at(1), status="DISCONTINUED")


def test_a_reservation_holds_waits_and_ships():
    product = given_stock(ReceiveStock(quantity=3), reserve(2), reserve(4, "o-2"), ship(2))
    product.then_reservation("o-1", held=0, waiting=0, shipped=2, open=False, sequence=5)
    product.then_reservation("o-2", held=1, waiting=3, place=0, open=True, sequence=4)


def test_a_line_that_waited_is_served():
    product = given_stock(ReceiveStock(quantity=1), reserve(4)).then_reservation("o-1", held=1, waiting=3, place=0)
    product.when(ReceiveStock(quantity=3)).then_reservation("o-1", held=4, waiting=0, place=None)
    assert len(product.reservations) == 1


def test_only_the_first_event_of_a_reservation_begins_it():
    manual = ReserveStock(order_id="o-9", quantity=1)
    given_stock(
        ReceiveStock(quantity=5),
        reserve(1),
        manual,
        manual,
        reserve(4, "o-2"),  # two units wait
        ReceiveStock(quantity=2),
        reserve(9, "o-3"),
        ReleaseStock(order_id="o-3", line_id="1", keep=0, order_version=2),
    ).then_begun(("StockReserved", 2), ("StockReserved", 5), ("StockBackordered", 9))


def test_a_batch_leaves_one_view_of_each_order_and_one_entry_of_each_event():
    (projection,) = (one for one in PROJECTIONS if one.name == "orders")
    messages = [*order_history("o-1", *WHOLE_LIFE), *order_history("o-2", *WHOLE_LIFE[:2])]
    folding = Folding(Part(projection, "order-events", 0, records(*messages)), known={})
    folding.run()
    assert {at: view.version for at, view in folding.changed.items()} == {("orders", "o-1"): 9, ("orders", "o-2"): 2}
    assert len(folding.entries["order_events"]) == len(messages)


def test_an_address_is_shown_with_its_usual_parts_even_if_they_are_empty():
    address = Address(street="1 Main St", city="Dublin", country="IE", street2="Flat 4")
    (message,) = order_history("o-1", replace(place(("boot", 1)), shipping_address=address))
    shown = orders.shown_of(orders.fold(None, message))["shippingAddress"]
    usual = {"street": "1 Main St", "city": "Dublin", "state": "", "zipCode": "", "country": "IE"}
    assert shown == {**usual, "street2": "Flat 4"}


def test_a_slash_in_an_id_does_not_separate_segments():
    assert reservations.reservation_id("a/b", "c", "d") != reservations.reservation_id("a", "b/c", "d")
    assert reservations.reservation_id("a%2Fb", "c", "d") != reservations.reservation_id("a/b", "c", "d")


def test_the_deltas_of_the_ledger_add_up_to_the_units_on_hand():
    entries = given_stock(
        ReceiveStock(quantity=10),
        reserve(3),
        ship(3),
        RestockReturn(order_id="o-1", line_id="1", received=2, damaged=1, order_version=3),
        AdjustStock(delta=-2, reason="lost"),
    ).ledger
    assert [entry["delta"] for entry in entries] == [10, 0, -3, 1, -2]
    assert sum(entry["delta"] for entry in entries) == entries[-1]["balance"]["onHand"]
    assert [entry["reason"] for entry in entries] == [None, None, None, None, "lost"]
    assert entries[1]["orderId"] == "o-1"


def test_the_outcome_of_a_command_is_kept_for_a_week_after_it_was_known():
    said = outcome("c-1", time="1999-01-01T00:00:00.000Z")
    document = commands.entry(said, dataclasses.replace(records(said)[0], timestamp=1_795_428_000_000))
    assert document["_expiresAt"].timestamp() == 1_795_428_000 + 7 * 86_400
    assert "_expiresAt" not in public(document)
