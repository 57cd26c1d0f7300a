"""An installation whose documents have the shapes of older code: served as before, and verified against today's."""

from dataclasses import replace
from typing import Any

import msgspec
import orjson
import pytest
from msgspec import structs
from projection_histories import ORDERS, STOCK, allocate, order_history, place, records, stock_history

from domain.inventory.commands import AdjustStock, DiscontinueProduct, ReceiveStock, ReserveStock, ShipStock
from domain.orders.commands import CancelOrder, CreateShipment, Hold
from ops.versions import sides
from ops.versions import verify as module
from ops.versions.verify import verify
from ops.versions.work import Work
from projections.mongo.client import Mongo
from projections.mongo.counts import counts
from projections.mongo.indexes import create_indexes, is_clustered
from projections.mongo.past import Moment, Past
from projections.mongo.queries import Queries
from projections.mongo.registry import Registry
from projections.mongo.standing import standing
from projections.projection import Projection
from projections.runner import Runner
from projections.table import INVENTORY, OLDER_SHAPES, PROJECTIONS
from projections.table import ORDERS as ORDERS_TODAY
from projections.versions import Version, Versions
from streams.runtime.settings import Settings

T = "2026-11-23T10:00:00.000Z"
HISTORIES = [
    order_history(
        "a", place(("boot", 3), ("hat", 1)), allocate("boot", 2, backordered=1), allocate("hat", 1), Hold(reason="?")
    ),
    order_history("a/1", place(("boot", 1)), allocate("boot", 1), CreateShipment(shipment_id="s-1", carrier="DHL")),
    order_history("a-b", place(("boot", 1)), CancelOrder(reason="no more")),
]
HISTORIES[2][1] = structs.replace(HISTORIES[2][1], id=HISTORIES[0][1].id)  # the oldest code gave two events one id
STOCKS = [
    stock_history(
        product,
        ReceiveStock(quantity=9),
        ReserveStock(order_id="a", line_id="1", quantity=2, order_version=1),
        ShipStock(order_id="a", line_id="1", shipped=1, order_version=2),
        AdjustStock(delta=-1, reason="lost"),
        DiscontinueProduct(reason="end of line"),
        ReserveStock(order_id="a", line_id="2", quantity=2, order_version=1),
    )
    for product in ("boot", "boot/1")
]
BATCH = {
    (ORDERS, 0): records(*(message for history in HISTORIES for message in history)),
    (STOCK, 0): records(*(message for history in STOCKS for message in history)),
}
OLDEST, UNCOUNTED = OLDER_SHAPES[:2], [replace(each, version=3) for each in OLDER_SHAPES[2:]]
TODAYS = [replace(each, version=2) for each in (ORDERS_TODAY, INVENTORY)]


@pytest.fixture
async def database(mongo_uri: str, request: pytest.FixtureRequest) -> Any:
    """An empty database, without today's collections."""
    settings = Settings(mongo=mongo_uri, database=f"shapes_{abs(hash(request.node.name))}")
    mongo = Mongo(settings)
    yield mongo, settings
    await mongo.client.drop_database(mongo.database.name)
    await mongo.close()


@pytest.fixture
async def work(database: tuple[Mongo, Settings]) -> Work:
    """Version 1 in the oldest shape, live; version 2 in today's, and 3 in the one without tallies, built beside it."""
    mongo, settings = database
    for projections in (OLDEST, TODAYS, UNCOUNTED):
        await create_indexes(mongo, projections)
        await Runner(mongo, settings, projections).apply(BATCH)
    registry = Registry(mongo)
    for older, today in zip(OLDEST, TODAYS, strict=True):
        both = (Version(1, older.shape, "following", T), Version(2, today.shape, "following", T))
        await registry.change(
            older.name, lambda _, both=both, name=older.name: Versions(name, 1, newest=2, versions=both)
        )
    return Work(settings, mongo, registry)


async def answers(mongo: Mongo, projections: list[Projection]) -> dict[str, Any]:
    """Return everything that the API shows of orders and stock."""
    queries, found = Queries(mongo, projections), dict[str, Any]()
    found["counts"] = await counts(queries)
    for name in ("orders", "customer_orders", "work_queue", "inventory", "reservations"):
        found[name] = (await queries.page(name)).documents
    for order in ("a", "a/1", "a-b"):
        found[f"events of {order}"] = (await queries.page("order_events", {"orderId": order})).documents
        found[f"the last of {order}"] = (
            await queries.page("order_events", {"orderId": order}, sort="-sequence")
        ).documents
        found[f"history of {order}"] = await queries.history(order, 2)
        found[f"explanation of {order}"] = await standing(queries, order)
    for product in ("boot", "boot/1"):
        found[f"ledger of {product}"] = (await queries.page("stock_ledger", {"productId": product})).documents
        for version in range(1, 6):
            found[f"{product}, {version}"] = await Past(queries).show("inventory", product, Moment(version=version))
        found[f"{product} once"] = await Past(queries).show(
            "inventory", product, Moment(as_of="2026-11-23T10:03:30.000Z")
        )
    return found


def plain(found: Any) -> Any:
    return orjson.loads(orjson.dumps(found, default=_shown))


def _shown(value: Any) -> Any:
    return msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else str(value)


async def test_all_shapes_give_the_same_answers(work: Work) -> None:
    before, now, uncounted = [plain(await answers(work.mongo, list(each))) for each in (OLDEST, TODAYS, UNCOUNTED)]
    assert uncounted == now
    renamed = before["events of a-b"][1]  # the entry of an event whose id belongs to another one
    assert renamed["id"] == HISTORIES[2][1].id + "/a-b/2"
    for listed in (before["events of a-b"][1], before["the last of a-b"][0], before["history of a-b"][1]):
        listed["id"] = HISTORIES[2][1].id
    for explained in (before["explanation of a-b"], now["explanation of a-b"]):
        assert explained["cancelled"].pop("id").startswith(HISTORIES[2][1].id)
    assert now == before
    assert [len(now[f"events of {each}"]) for each in ("a", "a/1", "a-b")] == [4, 3, 2]
    assert [len(now[f"ledger of {each}"]) for each in ("boot", "boot/1")] == [6, 6]


@pytest.mark.parametrize(("name", "of"), [("order_events", {"orderId": "a"}), ("stock_ledger", {"productId": "boot"})])
@pytest.mark.parametrize("sort", ["sequence", "-sequence"])
async def test_a_cursor_works_with_every_shape(work: Work, name: str, of: dict[str, str], sort: str) -> None:
    shapes = [Queries(work.mongo, list(each)) for each in (OLDEST, TODAYS)]
    whole = plain((await shapes[0].page(name, of, sort=sort)).documents)
    for first, then in (shapes, shapes[::-1]):
        page = await first.page(name, of, sort=sort, limit=2)
        rest = await then.page(name, of, sort=sort, cursor=page.next_cursor)
        assert plain(page.documents) + plain(rest.documents) == whole


async def test_logs_are_clustered_and_have_no_list_index(work: Work) -> None:
    for name in ("order_events_v2", "stock_ledger_v2"):
        [found] = await (await work.mongo.database.list_collections(filter={"name": name})).to_list(None)
        assert found["options"]["clusteredIndex"]["key"] == {"_id": 1}
    assert set(await work.mongo.collection("order_events_v2").index_information()) <= {"_id_"}
    logs = [log for one in PROJECTIONS for name, log in one.logs.items() if name != "commands"]
    assert all(map(is_clustered, logs))


@pytest.fixture(params=["whole", "in ranges"])
def compared(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare each collection as a whole, or in ranges of a few documents."""
    if request.param == "in ranges":
        monkeypatch.setattr(module, "RANGE", 1)
        monkeypatch.setattr(sides, "SAMPLES", 1)


@pytest.mark.usefixtures("compared")
@pytest.mark.parametrize("sample", [None, 500])
async def test_versions_of_different_shapes_are_compared_by_their_contents(work: Work, sample: int | None) -> None:
    for name, documents in (("orders", 3 + 9), ("inventory", 2 + 4 + 12)):
        found = await verify(work, name, sample, [])
        assert (found.count, found.differences, found.documents) == (0, [], documents)


@pytest.mark.usefixtures("compared")
async def test_versions_of_one_shape_are_compared_in_ranges(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    both = (Version(2, ORDERS_TODAY.shape, "following", T), Version(4, ORDERS_TODAY.shape, "following", T))
    again = replace(ORDERS_TODAY, version=4)
    await create_indexes(work.mongo, [again])
    await Runner(work.mongo, work.settings, [again]).apply(BATCH)
    await work.registry.change("orders", lambda _: Versions("orders", 2, newest=4, versions=both))
    tallies = 1
    found = await verify(work, "orders", None, [])
    assert (found.count, found.documents) == (0, 3 + 9 + tallies)
    await work.mongo.collection("order_events_v4").delete_one({"_id": "a/000000000003"})
    await work.mongo.collection("orders_v2").delete_one({"_id": "a-b"})
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    found = await verify(work, "orders", None, [], processes=2)
    assert {(each.collection, each.id): each.what for each in found.differences} == {
        ("order_events_v4", "a/000000000003"): "is missing",
        ("orders_v4", "a-b"): "is missing from v2",
    }
    assert found.documents == 3 + 9 + tallies


@pytest.mark.usefixtures("compared")
async def test_differences_between_shapes_are_found(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    before, now, events = (work.mongo.collection(name) for name in ("orders_v1", "orders_v2", "order_events_v2"))
    await now.update_one({"_id": "a"}, {"$set": {"status": "SHIPPED"}})
    await before.update_one({"_id": "a/1"}, {"$unset": {"_stockVersions": 1}})
    await now.delete_one({"_id": "a-b"})
    await work.mongo.collection("order_events_v1").delete_one({"orderId": "a/1", "sequence": 2})
    entry = await events.find_one({"_id": "a/000000000004"})
    assert entry
    other = entry["message"].replace('"reason":"?"', '"reason":"!"')
    await events.update_one({"_id": entry["_id"]}, {"$set": {"message": other}})
    found = await verify(work, "orders", None, [])
    what = {(each.collection, each.id): each.what for each in found.differences}
    assert "customerId is missing" not in what.pop(("orders_v2", "a/1"))  # its fields are compared unchanged
    assert what == {
        ("orders_v2", "a"): "status is 'SHIPPED', v1 has 'REGISTERED'",
        ("orders_v2", "a-b"): "is missing",
        ("order_events_v2", "a/1/2"): "is missing from v1",
        ("order_events_v2", "a/4"): "data.reason is '!', v1 has '?'",
    }
    again = await verify(work, "orders", None, ["status", "data"])
    assert again.count == found.count - 2
