"""The queries of the API on a real MongoDB: pages without gaps, and an index for every query."""

from typing import Any

import orjson
import pytest
from projection_histories import ORDERS, STOCK, allocate, at, order_history, place, records, stock_history

from domain.inventory.commands import ReceiveStock, ReserveStock
from domain.orders.commands import Hold
from projections.mongo.client import Mongo
from projections.mongo.indexes import IDEMPOTENCY, READ_MODELS, REFUSED
from projections.mongo.queries import SORTS, BadCursor, BadSort, Queries
from projections.runner import Runner

PRODUCTS = ["boot", "hat", "sock"]


@pytest.fixture
async def queries(mongo: Mongo, runner: Runner) -> Queries:
    """Thirty orders, five per minute so that times tie, and three products; `ghost` was only asked for."""
    histories = [
        order_history(
            f"o-{n:02}",
            place(("boot", 1), customer=f"c-{n % 3}"),
            *([allocate("boot", 1)] if n % 2 else []),
            *([Hold(reason="?")] if n % 10 == 5 else []),
            minute=n // 5,
        )
        for n in range(30)
    ]
    stocks = [
        stock_history(
            product,
            ReceiveStock(quantity=4),
            *(ReserveStock(order_id=f"o-{n:02}", line_id="1", quantity=1, order_version=1) for n in range(8)),
        )
        for product in PRODUCTS
    ]
    ghost = stock_history("ghost", ReserveStock(order_id="o-1", line_id="1", quantity=1, order_version=1))
    await runner.apply(
        {
            (ORDERS, 0): records(*(message for history in histories for message in history)),
            (STOCK, 0): records(*(message for history in [*stocks, ghost] for message in history)),
        }
    )
    return Queries(mongo)


async def walk(queries: Queries, name: str, **how: Any) -> list[dict[str, Any]]:
    documents, cursor = [], None
    while True:
        page = await queries.page(name, cursor=cursor, **how)
        assert len(page.documents) <= how["limit"]
        documents += orjson.loads(orjson.dumps(page.documents))
        if (cursor := page.next_cursor) is None:
            return documents


@pytest.mark.parametrize("limit", [1, 4, 7, 500])
@pytest.mark.parametrize(("name", "sort"), [(name, sort) for name, sorts in SORTS.items() for sort in sorts])
async def test_paging_shows_everything_once_and_in_order(queries: Queries, name: str, sort: str, limit: int):
    sizes = {"orders": 30, "customer_orders": 30, "work_queue": 12, "inventory": 3, "reservations": 25}
    sizes |= {"order_events": 3, "stock_ledger": 9}
    of = {"order_events": {"orderId": "o-05"}, "stock_ledger": {"productId": "boot"}}.get(name)
    live = name.removesuffix("_archive")
    if name != live:
        documents = await queries.collection("orders").find().to_list(None)
        await queries.collection("orders_archive").insert_many(documents)
    found = await walk(queries, name, where=of, sort=sort, limit=limit)
    key = sort.removeprefix("-")
    assert len({one["id"] for one in found}) == len(found) == sizes[live]
    assert found == sorted(found, key=lambda one: (one[key], one["id"]), reverse=sort.startswith("-"))
    assert not any(field.startswith("_") for one in found for field in one)


async def test_filters_narrow_a_list(queries: Queries):
    mine = await walk(queries, "orders", where={"customerId": "c-1", "allocationStatus": "ALLOCATED"}, limit=2)
    assert [one["id"] for one in mine] == ["o-25", "o-19", "o-13", "o-07", "o-01"]
    between = await walk(queries, "orders", within={"createdAt": (at(1), at(3))}, sort="createdAt", limit=3)
    assert [one["id"] for one in between] == [f"o-{n:02}" for n in range(5, 15)]
    since = await walk(queries, "orders", within={"createdAt": (at(5), None)}, limit=3)
    assert len(since) == 5


async def test_an_empty_list_is_an_empty_list(queries: Queries):
    assert await queries.page("orders", {"customerId": "nobody"}) == ([], None)


@pytest.mark.parametrize(
    "cursor", ["", "?", "bm8", "W10", "é", "WyItY3JlYXRlZEF0IiwxXQ", "WyJjcmVhdGVkQXQiLHRydWUsIngiXQ"]
)
async def test_a_cursor_that_was_never_issued_is_refused(queries: Queries, cursor: str):
    with pytest.raises(BadCursor):
        await queries.page("orders", cursor=cursor)


async def test_a_cursor_of_another_sort_is_refused(queries: Queries):
    page = await queries.page("orders", sort="createdAt", limit=1)
    with pytest.raises(BadCursor):
        await queries.page("orders", sort="-createdAt", limit=1, cursor=page.next_cursor)


async def test_a_sort_the_list_does_not_have_is_refused(queries: Queries):
    with pytest.raises(BadSort, match="-createdAt"):
        await queries.page("orders", sort="customerId")


async def test_a_product_that_was_never_stocked_is_not_shown(queries: Queries):
    assert await queries.show("inventory", "ghost") is None
    assert await queries.version("inventory", "ghost") == 1
    document, version = await queries.show("inventory", "boot") or ({}, 0)
    assert (orjson.loads(orjson.dumps(document))["id"], version) == ("boot", 9)


async def test_the_sequence_of_a_document_is_known(queries: Queries):
    assert await queries.version("orders", "o-05") == 3
    assert await queries.version("orders", "unknown") == 0


async def test_the_history_of_an_order_ends_at_a_version(queries: Queries):
    assert [message.type for message in await queries.history("o-05")] == [
        "OrderPlaced",
        "AllocationRecorded",
        "OrderHeld",
    ]
    assert len(await queries.history("o-05", version=2)) == 2


async def test_lines_before_a_place_in_the_queue_are_counted(queries: Queries):
    places = [one["place"] for one in await queries.find_many("reservations", ["boot/o-04/1", "boot/o-07/1"])]
    assert sorted([await queries.ahead("boot", place, most=100) for place in places]) == [(0, 0), (3, 3)]
    assert await queries.ahead("boot", max(places), most=2) == (2, 2)


async def test_every_index_exists(queries: Queries, mongo: Mongo):
    for name, indexes in READ_MODELS.items():
        there = await mongo.collection(f"{name}_v1").index_information()
        assert {index.document["name"] for index in indexes} <= there.keys()
    ttl = await mongo.collection("commands_v1").index_information()
    assert ttl["_expiresAt_1"]["expireAfterSeconds"] == 0
    ttl = await mongo.collection(IDEMPOTENCY).index_information()
    assert ttl["expiresAt_1"]["expireAfterSeconds"] == 0


def collection_of(name: str) -> str:
    """Return the collection from which a read model is read."""
    return "orders" if name in ("customer_orders", "work_queue") else name


QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    *(("orders", {"sort": sort}) for sort in SORTS["orders"]),
    *(("orders", {"where": {field: "x"}}) for field in ("status", "customerId", "allocationStatus")),
    *(("orders", {"where": {"status": "REGISTERED"}, "sort": sort}) for sort in SORTS["orders"]),
    ("orders", {"within": {"createdAt": (at(1), at(2))}}),
    ("customer_orders", {"where": {"customerId": "c-1"}}),
    ("work_queue", {}),
    ("inventory", {}),
    ("inventory", {"where": {"status": "AVAILABLE"}}),
    ("reservations", {"where": {"productId": "boot", "open": True}}),
    ("reservations", {"where": {"productId": "boot", "waiting": {"$gt": 0}}, "sort": "place"}),
    ("commands", {"where": {**REFUSED, "aggregateId": "o-1", "aggregate": "order"}, "sort": "-time"}),
    ("stock_ledger", {"where": {"productId": "boot"}}),
    ("stock_ledger", {"where": {"productId": "boot"}, "sort": "-sequence"}),
    ("order_events", {"where": {"orderId": "o-05"}}),
]


@pytest.mark.parametrize(("name", "question"), QUESTIONS)
async def test_every_list_has_an_index(queries: Queries, mongo: Mongo, name: str, question: dict[str, Any]):
    page = await queries.page(name, limit=2, **question)
    for cursor in {None, page.next_cursor}:
        await mongo.database.command("profile", 2)
        await queries.page(name, limit=2, cursor=cursor, **question)
        await mongo.database.command("profile", 0)
        asked = await mongo.collection("system.profile").find_one(
            {"op": "query", "ns": {"$regex": f"{collection_of(name)}_v1$"}}
        )
        await mongo.collection("system.profile").drop()
        assert asked is not None
        assert "IXSCAN" in asked["planSummary"], asked["planSummary"]
        assert "COLLSCAN" not in asked["planSummary"]


@pytest.mark.parametrize(
    "question",
    [
        ("orders", {}),
        ("orders", {"where": {"status": "REGISTERED"}}),
        ("work_queue", {}),
        ("stock_ledger", {"where": {"productId": "boot"}}),
        ("reservations", {"where": {"productId": "boot", "open": True}}),
    ],
    ids=lambda question: question[0],
)
async def test_a_page_reads_only_the_documents_it_shows(
    queries: Queries, mongo: Mongo, question: tuple[str, dict[str, Any]]
):
    name, how = question
    cursor = (await queries.page(name, limit=2, **how)).next_cursor
    await mongo.database.command("profile", 2)
    await queries.page(name, limit=2, cursor=cursor, **how)
    await mongo.database.command("profile", 0)
    asked = await mongo.collection("system.profile").find_one(
        {"op": "query", "ns": {"$regex": f"{collection_of(name)}_v1$"}}
    )
    await mongo.collection("system.profile").drop()
    assert asked is not None
    assert asked["docsExamined"] <= 5
    assert not asked.get("hasSortStage")
