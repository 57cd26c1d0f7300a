"""No list reads more as read models grow: a page examines little more than it shows, whatever is asked for."""

from collections.abc import AsyncIterator, Iterator
from itertools import cycle, product
from typing import Any

import orjson
import pytest

from projections.customer_orders import SHOWN
from projections.document import Document
from projections.mongo import listing
from projections.mongo.client import Mongo
from projections.mongo.indexes import REFUSED, create_indexes
from projections.mongo.queries import SORTS, Page, Queries
from projections.table import PROJECTIONS
from streams.runtime.settings import Settings
from web.queries.handling import QueryRoute
from web.queries.routes import QUERY_ROUTES

MANY = 2_000  # documents; every question matches most of them, or few in the middle
MIDDLE = (MANY // 2, MANY // 2 + 1, MANY // 2 + 2)
LIMIT = 5
SCANS = 30  # combinations of a status and an allocation status, each a scan of its own
MOST = LIMIT + 1 + 2 * SCANS  # keys and documents; each scan also reads the key after its last one
EXAMINED = 100  # documents, if a period is sorted by another time

VALUES: dict[str, dict[str, list[Any]]] = {  # by the collection's name and field: common and rare values
    "orders": {
        "status": ["REGISTERED", {"$in": ["DELIVERED", "SHIPPED"]}],
        "allocationStatus": ["PENDING", {"$in": ["ALLOCATED", "BACKORDERED"]}],
        "customerId": ["big", "rare"],
    },
    "inventory": {"status": ["OUT_OF_STOCK", {"$in": ["AVAILABLE", "DISCONTINUED"]}]},
}
VALUES["work_queue"] = {**VALUES["orders"], "location": ["north", {"$in": ["north", "south"]}]}
OF = {"orderId": "o-1", "productId": "p-1", "customerId": "big", "aggregateId": "p-1"}


def time(number: int) -> str:
    return f"2026-11-23T10:{number // 60_000:02}:{number // 1_000 % 60:02}.{number % 1_000:03}Z"


PERIODS = [(time(MIDDLE[0]), time(MIDDLE[2])), (None, time(MANY // 2)), (time(10), None)]


def order(number: int) -> Document:
    rare = number in MIDDLE
    allocation = {MIDDLE[0]: "ALLOCATED", MIDDLE[1]: "BACKORDERED", MIDDLE[2]: None}.get(number, "PENDING")
    status = {MIDDLE[0]: "DELIVERED", MIDDLE[1]: "REGISTERED", MIDDLE[2]: "CANCELLED"}.get(number, "REGISTERED")
    times = {"createdAt": time(number), "updatedAt": time(MANY - number)}
    shown = {**dict.fromkeys(SHOWN), "id": f"o-{number}", **times, "items": [],
             "customerId": "rare" if rare else "big", "policy": "PARTIAL", "version": 1}  # fmt: skip
    fields = {name: shown[name] for name in ("createdAt", "updatedAt", "customerId")}
    kinds = {"status": status, "allocationStatus": allocation, "_pickableSince": time(number)}
    if rare:
        fields["location"] = ["north"]
    return {"_id": shown["id"], "sequence": 1, **fields, **kinds, "_json": orjson.dumps(shown).decode()}


def stock(number: int) -> Document:
    rare = number in MIDDLE
    status = "AVAILABLE" if rare else "OUT_OF_STOCK"
    return {"_id": f"p-{number:05}", "sequence": 1, "exists": rare or number % 2 == 0, "status": status,
            "backorderedQuantity": number}  # fmt: skip


def reservation(number: int) -> Document:
    waits = number in MIDDLE
    return {"_id": f"p-1/o-{number:05}/1", "sequence": 1, "productId": "p-1", "open": True, "waiting": int(waits),
            "place": number}  # fmt: skip


def outcome(number: int) -> Document:
    aggregate = "order" if number in MIDDLE else "inventory"
    return {"_id": f"c-{number}", "id": f"c-{number}", "aggregate": aggregate, "aggregateId": "p-1", **REFUSED,
            "time": time(number)}  # fmt: skip


@pytest.fixture(scope="module")
async def mongo(mongo_uri: str) -> AsyncIterator[Mongo]:
    """A database in which an unfit index makes a query examine a thousand documents."""
    mongo = Mongo(Settings(mongo=mongo_uri, database="bounded"))
    await create_indexes(mongo, PROJECTIONS)
    makers = {"orders": order, "inventory": stock, "reservations": reservation, "commands": outcome}
    for name, make in makers.items():
        await mongo.collection(f"{name}_v1").insert_many([make(number) for number in range(MANY)])
    yield mongo
    await mongo.client.drop_database(mongo.database.name)
    await mongo.close()


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "EXAMINED", EXAMINED)


LISTS = [route for route in QUERY_ROUTES if route.many and not route.history]


def questions(route: QueryRoute) -> Iterator[dict[str, Any]]:
    """Yield every combination of filters, sorts and periods that a path allows."""
    fixed = {**route.fixed, **({route.of: OF[route.of]} if route.of else {})}
    filters = [each["name"] for each in route.filters]
    choices = [[None, *VALUES[route.model][name]] for name in filters]
    sorts = (route.sort,) if route.sort else SORTS[route.model]
    periods = cycle(PERIODS)
    for values, sort, in_period in product(product(*choices), sorts, [False, True] if route.period else [False]):
        where = {name: value for name, value in zip(filters, values, strict=True) if value is not None}
        within = {"createdAt": next(periods)} if in_period else {}
        yield {"where": {**where, **fixed}, "sort": sort, "within": within}


async def examined(mongo: Mongo, queries: Queries, name: str, **how: Any) -> tuple[Page, list[Document]]:
    """Return a page, and what MongoDB did for it."""
    await mongo.database.command("profile", 2)
    page = await queries.page(name, limit=LIMIT, **how)
    await mongo.database.command("profile", 0)
    done = await mongo.collection("system.profile").find({"op": "query"}).to_list(None)
    await mongo.collection("system.profile").drop()
    return page, done


def check(done: list[Document], most: int) -> None:
    for one in done:
        told = (one["command"].get("filter"), one["command"].get("sort"), one["planSummary"], one["keysExamined"])
        assert "IXSCAN" in one["planSummary"] or "IDHACK" in one["planSummary"], told
        assert "COLLSCAN" not in one["planSummary"], told
        assert not one.get("hasSortStage"), told
        assert max(one["keysExamined"], one["docsExamined"]) <= most, told


@pytest.mark.parametrize("route", LISTS, ids=lambda route: route.path)
async def test_a_page_examines_little_more_than_it_shows(mongo: Mongo, route: QueryRoute) -> None:
    queries = Queries(mongo)
    for question in questions(route):
        selects = bool(question["within"]) and "createdAt" not in question["sort"]
        most = MOST + (EXAMINED if selects else 0)
        page, done = await examined(mongo, queries, route.model, **question)
        check(done, most)
        if page.next_cursor is not None:
            _, done = await examined(mongo, queries, route.model, cursor=page.next_cursor, **question)
            check(done, most)


async def test_the_documents_for_an_explanation_are_as_few(mongo: Mongo) -> None:
    await mongo.database.command("profile", 2)
    assert await Queries(mongo).ahead("p-1", MIDDLE[2], most=10) == (2, 2)
    await mongo.database.command("profile", 0)
    [done] = await mongo.collection("system.profile").find({"command.aggregate": "reservations_v1"}).to_list(None)
    await mongo.collection("system.profile").drop()
    assert max(done["keysExamined"], done["docsExamined"]) <= 10


async def test_many_values_of_a_filter_are_asked_for_in_several_queries(mongo: Mongo) -> None:
    customers = {"$in": ["big", "rare", *(f"none-{number}" for number in range(48))]}
    page, done = await examined(mongo, Queries(mongo), "orders", where={"customerId": customers}, sort="createdAt")
    assert [each["id"] for each in orjson.loads(orjson.dumps(page.documents))] == [f"o-{n}" for n in range(LIMIT)]
    assert len(done) > 1
    check(done, LIMIT + 1 + 2 * SCANS * len(customers["$in"]))


@pytest.mark.parametrize("sort", SORTS["orders"])
@pytest.mark.parametrize("where", [{}, {"customerId": "rare"}, {"customerId": {"$in": ["rare", "big"]}}], ids=str)
async def test_the_pages_of_a_period_have_all_its_orders_however_they_are_sorted(
    mongo: Mongo, sort: str, where: Document
) -> None:
    queries, cursor, found = Queries(mongo), None, list[Document]()
    within = {"createdAt": (time(MIDDLE[1]), time(MIDDLE[1] + 20))}
    while True:
        page = await queries.page("orders", where, within=within, sort=sort, limit=LIMIT, cursor=cursor)
        assert len(page.documents) <= LIMIT
        found += orjson.loads(orjson.dumps(page.documents))
        if (cursor := page.next_cursor) is None:
            break
    expected = [n for n in range(MIDDLE[1], MIDDLE[1] + 20) if where != {"customerId": "rare"} or n in MIDDLE]
    up = expected if sort in ("createdAt", "-updatedAt") else expected[::-1]
    assert [each["id"] for each in found] == [f"o-{n}" for n in up]
