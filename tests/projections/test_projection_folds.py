"""The folds by themselves: events in, documents out, and arguments are never changed."""

import copy
import dataclasses
from functools import reduce

import orjson
import pytest
from msgspec.structs import replace
from projection_histories import allocate, at, order_history, outcome, place, records, stock_history

from domain.inventory.commands import (
    AdjustStock,
    DiscontinueProduct,
    ReceiveStock,
    ReleaseStock,
    ReserveStock,
    RestockReturn,
    SetStock,
    ShipStock,
)
from domain.message import Command
from domain.orders.commands import (
    CancelOrder,
    CountedLine,
    CreateShipment,
    DeliverShipment,
    Hold,
    LineQuantity,
    NewLine,
    Price,
    ReceiveReturn,
    Release,
    RequestReturn,
)
from domain.policy import AllocationPolicy
from ops.audit.tables import comparable
from projections import (
    commands,
    customer_orders,
    event_log,
    inventory,
    older,
    order_events,
    order_shape,
    orders,
    reservations,
    stock_ledger,
    work_queue,
)
from projections.document import Document, public
from projections.table import shape_of
from streams.messages.envelope import EventMessage

WHOLE_LIFE: list[Command] = [
    place(("boot", 3), ("hat", 1)),
    allocate("1", 2, backordered=1),
    allocate("2", 0, rejected=1),
    Hold(reason=""),
    Release(),
    CreateShipment(shipment_id="s-1", carrier="DHL"),
    DeliverShipment(shipment_id="s-1"),
    RequestReturn(return_id="r-1", lines=(LineQuantity(line_id="1", quantity=2),), reason="too small"),
    ReceiveReturn(return_id="r-1", lines=(CountedLine(line_id="1", received=2, damaged=1),)),
]


def folded(messages: list[EventMessage]) -> Document:
    document: Document | None = None
    for message in messages:
        before = copy.deepcopy(document)
        after = orders.project(document, message)
        assert document == before, "the given document was changed"
        document = after
    assert document is not None
    return orders.whole(document)


def test_a_placed_order_is_shown_in_the_shape_of_the_api():
    document = folded(order_history("o-1", place(("boot", 3), ("hat", 1), issued_at="2026-11-20T08:00:00.000Z")))
    home = {"street": "1 Main St", "city": "Berlin", "state": "BE", "zipCode": "10115", "country": "DE"}
    line = dict.fromkeys(("backordered", "allocated", "shipped", "delivered", "cancelled", "returned"), 0)
    line |= {"rejected": 0, "damaged": 0, "price": {"currency": "EUR", "value": "12.50"}}
    expected = {
        "id": "o-1",
        "customerId": "alice",
        "items": [
            {"lineId": "1", "productId": "boot", "quantity": 3, "pending": 3, **line},
            {"lineId": "2", "productId": "hat", "quantity": 1, "pending": 1, **line},
        ],
        "status": "REGISTERED",
        "allocationStatus": "PENDING",
        "returnStatus": "NONE",
        "hold": None,
        "policy": "BACKORDER",
        "shippingAddress": home,
        "billingAddress": home,
        "totalCost": {"currency": "EUR", "value": "50.00"},
        "shipments": [],
        "returns": [],
        "version": 1,
        "issuedAt": "2026-11-20T08:00:00.000Z",
        "createdAt": at(0),
        "updatedAt": at(0),
    }
    assert {name: public(document).get(name) for name in expected} == expected


def test_a_complete_order_leaves_its_traces():
    document = folded(order_history("o-1", *WHOLE_LIFE))
    assert (document["status"], document["returnStatus"]) == ("PARTIALLY_DELIVERED", "RETURNED")
    assert document["shipments"] == [
        {
            "shipmentId": "s-1",
            "status": "DELIVERED",
            "carrier": "DHL",
            "trackingNumber": None,
            "lines": [{"lineId": "1", "quantity": 2, "delivered": 2}],
        }
    ]
    assert document["returns"] == [
        {
            "returnId": "r-1",
            "status": "RECEIVED",
            "reason": "too small",
            "lines": [{"lineId": "1", "quantity": 2, "received": 2, "damaged": 1}],
        }
    ]
    assert (document["createdAt"], document["updatedAt"], document["version"]) == (at(0), at(8), 9)


def test_a_hold_without_a_reason_is_a_hold():
    held = folded(order_history("o-1", place(("boot", 1)), Hold(reason="")))
    assert held["hold"] == {"reason": ""}


@pytest.mark.parametrize("length", range(1, len(WHOLE_LIFE) + 1))
def test_an_order_survives_conversion_to_a_document_and_back(length: int):
    messages = order_history("o-1", *WHOLE_LIFE[:length])  # type: ignore[arg-type]
    view = reduce(orders.fold, messages, None)
    assert view is not None
    document = orders.document_of(view)
    assert comparable(orders.view_of(document).order) == comparable(view.order)
    assert orders.document_of(orders.view_of(document)) == document


@pytest.mark.parametrize("length", range(1, len(WHOLE_LIFE) + 1))
def test_a_document_of_shape_1_is_read_like_one_of_today(length: int):
    view = reduce(orders.fold, order_history("o-1", *WHOLE_LIFE[:length]), None)  # type: ignore[arg-type]
    assert view is not None
    older = shape_of("orders", 1)
    assert older is not None
    document = older.models[0].document_of(view)
    assert comparable(older.models[0].view_of(document).order) == comparable(view.order)
    assert orders.whole(document) == orders.whole(orders.document_of(view))
    shown = orjson.loads(document["_json"])
    assert public(document) == shown
    assert document.keys() - shown.keys() == {"_id", "sequence", "_stockVersions", "_pickableSince", "_json"}


def test_a_document_has_the_queried_fields_and_its_json():
    view = reduce(orders.fold, order_history("o-1", place(("boot", 3)), allocate("1", 3), Hold(reason="?")), None)
    assert view is not None
    held = orders.document_of(view)
    assert held == {
        "_id": "o-1",
        "sequence": 3,
        "customerId": "alice",
        "status": "REGISTERED",
        "allocationStatus": "ALLOCATED",
        "hold": {"reason": "?"},
        "createdAt": at(0),
        "updatedAt": at(2),
        "_stockVersions": [1],
        "_json": orjson.dumps(orders.shown_of(view)).decode(),
    }


@pytest.mark.parametrize(
    ("currency", "amount", "value"), [("EUR", 5, "0.05"), ("JPY", 1250, "1250"), ("KWD", 1, "0.001")]
)
def test_money_survives_encoding_and_decoding(currency: str, amount: int, value: str):
    line = NewLine(product_id="boot", quantity=1, price=Price(amount=amount, currency=currency))
    document = folded(order_history("o-1", replace(place(), lines=(line,))))
    assert document["totalCost"] == {"currency": currency, "value": value}
    assert order_shape.order_of(document, [0]).lines[0].price.amount == amount


def test_the_history_of_a_customer_shows_sums():
    entry = customer_orders.document_of(folded(order_history("o-1", place(("boot", 3), ("hat", 1)))))
    assert (entry["itemCount"], entry["unitCount"], entry["customerId"]) == (2, 4, "alice")


def queue(*given: Command) -> Document:
    return work_queue.document_of(folded(order_history("o-1", *given)))  # type: ignore[arg-type]


def test_the_time_since_when_an_order_can_be_picked_stays_the_first_one():
    entry = queue(place(("boot", 3), ("hat", 1)), allocate("1", 2, backordered=1), allocate("2", 1))
    assert entry["open"]
    assert entry["since"] == at(1)
    assert [(line["lineId"], line["quantity"]) for line in entry["lines"]] == [("1", 2), ("2", 1)]


@pytest.mark.parametrize(
    "given",
    [
        [place(("boot", 3))],
        [place(("boot", 3)), allocate("1", 3), Hold(reason="fraud check")],
        [place(("boot", 3)), allocate("1", 3), CreateShipment(shipment_id="s-1")],
        [place(("boot", 3)), allocate("1", 3), CancelOrder()],
        [place(("boot", 3), ("hat", 1), policy=AllocationPolicy.ALL_OR_NOTHING), allocate("1", 3)],
    ],
    ids=["pending", "held", "shipped", "cancelled", "all or nothing, one pending"],
)
def test_nothing_can_be_picked(given: list[Command]):
    entry = queue(*given)
    assert (entry["open"], entry["since"], entry["lines"]) == (False, None, [])


def test_a_released_order_joins_the_queue_again():
    assert queue(place(("boot", 1)), allocate("1", 1), Hold(reason="x"), Release())["since"] == at(3)


LOGS = {  # a history, and today's logs and those of shape 1 into which it is written
    "order_events": (ORDER := order_history("o-1", *WHOLE_LIFE), order_events.LOG, older.ORDER_EVENTS),  # type: ignore[arg-type]
    "stock_ledger": (
        stock_history(
            "boot",
            ReceiveStock(quantity=10),
            ReserveStock(order_id="o-1", line_id="1", quantity=3, order_version=1),
            ShipStock(order_id="o-1", line_id="1", shipped=3, order_version=2),
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


def stock(*given: Command) -> list[EventMessage]:
    return stock_history("boot", *given)  # type: ignore[arg-type]


def reserve(quantity: int, order: str = "o-1", line: str = "1") -> ReserveStock:
    return ReserveStock(order_id=order, line_id=line, quantity=quantity, order_version=1)


def product(messages: list[EventMessage]) -> Document:
    document = reduce(inventory.project, messages, None)
    assert document is not None
    assert inventory.document_of(inventory.view_of(document)) == document
    return document


def test_a_product_shows_its_balance():
    shown = public(product(stock(ReceiveStock(quantity=10), reserve(3), reserve(9, "o-2"))))
    assert shown == {
        "id": "boot",
        "productId": "boot",
        "exists": True,
        "availableQuantity": 0,
        "allocatedQuantity": 10,
        "onHandQuantity": 10,
        "damagedQuantity": 0,
        "backorderedQuantity": 2,
        "status": "OUT_OF_STOCK",
        "version": 4,
        "createdAt": at(0),
        "updatedAt": at(2),
    }


def test_a_product_exists_from_its_first_stock():
    messages = stock(reserve(1), SetStock(quantity=5), DiscontinueProduct())
    assert (product(messages[:1])["exists"], product(messages[:1])["createdAt"]) == (False, None)
    assert (product(messages)["exists"], product(messages)["createdAt"]) == (True, at(1))
    assert product(messages)["status"] == "DISCONTINUED"


def reserved(messages: list[EventMessage]) -> dict[str, Document]:
    documents: dict[str, Document] = {}
    for message in messages:
        if key := reservations.key(message):
            assert reservations.begins(message) is False or key not in documents
            documents[key] = reservations.project(documents.get(key), message)
            assert reservations.document_of(reservations.view_of(documents[key])) == documents[key]
    return documents


def test_a_reservation_holds_waits_and_ships():
    messages = stock(
        ReceiveStock(quantity=3),
        reserve(2),
        reserve(4, "o-2"),
        ShipStock(order_id="o-1", line_id="1", shipped=2, order_version=2),
    )
    documents = reserved(messages)
    one, two = documents["boot/o-1/1"], documents["boot/o-2/1"]
    assert (one["held"], one["waiting"], one["shipped"], one["open"]) == (0, 0, 2, False)
    assert (two["held"], two["waiting"], two["place"], two["open"]) == (1, 3, 0, True)
    assert (one["sequence"], two["sequence"]) == (5, 4)


def test_a_line_that_waited_is_served():
    (document,) = reserved(stock(ReceiveStock(quantity=1), reserve(4), ReceiveStock(quantity=3))).values()
    assert (document["held"], document["waiting"], document["place"]) == (4, 0, None)


def test_only_the_first_event_of_a_reservation_begins_it():
    manual = ReserveStock(order_id="o-9", quantity=1)
    messages = stock(
        ReceiveStock(quantity=5),
        reserve(1),
        manual,
        manual,
        reserve(4, "o-2"),  # two units wait
        ReceiveStock(quantity=2),
        reserve(9, "o-3"),
        ReleaseStock(order_id="o-3", line_id="1", keep=0, order_version=2),
    )
    begun = [(message.type, message.sequence) for message in messages if reservations.begins(message)]
    assert begun == [("StockReserved", 2), ("StockReserved", 5), ("StockBackordered", 9)]
    reserved(messages)


def test_a_slash_in_an_id_does_not_separate_segments():
    assert reservations.reservation_id("a/b", "c", "d") != reservations.reservation_id("a", "b/c", "d")
    assert reservations.reservation_id("a%2Fb", "c", "d") != reservations.reservation_id("a/b", "c", "d")


def test_the_deltas_of_the_ledger_add_up_to_the_units_on_hand():
    messages = stock(
        ReceiveStock(quantity=10),
        reserve(3),
        ShipStock(order_id="o-1", line_id="1", shipped=3, order_version=2),
        RestockReturn(order_id="o-1", line_id="1", received=2, damaged=1, order_version=3),
        AdjustStock(delta=-2, reason="lost"),
    )
    entries = [stock_ledger.shown(message) for message in messages]
    assert [entry["delta"] for entry in entries] == [10, 0, -3, 1, -2]
    assert sum(entry["delta"] for entry in entries) == entries[-1]["balance"]["onHand"]
    assert [entry["reason"] for entry in entries] == [None, None, None, None, "lost"]
    assert entries[1]["orderId"] == "o-1"


def test_the_outcome_of_a_command_is_kept_for_a_week_after_it_was_known():
    said = outcome("c-1", time="1999-01-01T00:00:00.000Z")
    document = commands.entry(said, dataclasses.replace(records(said)[0], timestamp=1_795_428_000_000))
    assert document["_expiresAt"].timestamp() == 1_795_428_000 + 7 * 86_400
    assert "_expiresAt" not in public(document)
