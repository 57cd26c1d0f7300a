"""Orders and products at earlier versions: exactly the documents of the read model at that time."""

from typing import Any

import orjson
import pytest
from msgspec.structs import replace
from projection_histories import ORDERS, STOCK, allocate, at, order_history, place, records, stock_history

from domain.inventory.commands import (
    AdjustStock,
    DiscontinueProduct,
    ReactivateProduct,
    ReceiveStock,
    ReleaseStock,
    ReserveStock,
    ShipStock,
)
from domain.orders.commands import (
    CancelLines,
    CreateShipment,
    DeliverShipment,
    Hold,
    LineQuantity,
    Release,
    RequestReturn,
)
from projections.mongo.client import Mongo
from projections.mongo.past import Moment, NotThen, Past
from projections.mongo.queries import Queries
from projections.runner import Runner
from streams.messages.envelope import EventMessage, event_id

TWO = (LineQuantity(line_id="1", quantity=2),)
ORDER = order_history(
    "o-1",
    place(("boot", 5), ("hat", 1)),
    allocate("boot", 3, backordered=2),
    Hold(reason="?"),
    Release(),
    CancelLines(lines=(LineQuantity(line_id="2", quantity=1),), reason="no hat"),
    CreateShipment(shipment_id="s-1", lines=TWO),
    DeliverShipment(shipment_id="s-1"),
    RequestReturn(return_id="r-1", lines=TWO),
)
PRODUCT = stock_history(
    "boot",
    ReserveStock(order_id="o-0", line_id="1", quantity=1, order_version=1),  # before it exists: rejected
    ReceiveStock(quantity=4),
    ReserveStock(order_id="o-1", line_id="1", quantity=6, order_version=1),
    DiscontinueProduct(reason="end of line"),
    ShipStock(order_id="o-1", line_id="1", shipped=2, order_version=2),
    ReactivateProduct(),
    AdjustStock(delta=3, reason="found"),
    ReserveStock(order_id="o-2", line_id="1", quantity=9, order_version=1),
    ReleaseStock(order_id="o-2", line_id="1", keep=0, order_version=2),
)


def plain(found: Any) -> Any:
    return orjson.loads(orjson.dumps(found))


async def shown(runner: Runner, queries: Queries, topic: str, history: list[EventMessage]) -> list[Any]:
    """Project a history event by event; return the read model's document after each."""
    model = "orders" if topic == ORDERS else "inventory"
    seen = []
    for offset, message in enumerate(history):
        await runner.apply({(topic, 0): records(message, first=offset)})
        seen.append(plain(await queries.show(model, message.key)))
    return seen


async def test_an_order_is_shown_as_it_was_at_each_version(runner: Runner, mongo: Mongo) -> None:
    queries = Queries(mongo)
    seen = await shown(runner, queries, ORDERS, ORDER)
    past = [plain(await Past(queries).show("orders", "o-1", Moment(version=n + 1))) for n in range(len(ORDER))]
    assert past == seen
    assert len({orjson.dumps(each) for each in past}) == len(ORDER) == 8


async def test_a_product_is_shown_as_it_was_at_each_version(runner: Runner, mongo: Mongo) -> None:
    queries = Queries(mongo)
    seen = await shown(runner, queries, STOCK, PRODUCT)
    assert seen[0] is None  # it had never been stocked
    past = [plain(await Past(queries).show("inventory", "boot", Moment(version=n + 1))) for n in range(1, len(PRODUCT))]
    assert past == seen[1:]
    assert {document["status"] for document, _ in past} == {"AVAILABLE", "OUT_OF_STOCK", "DISCONTINUED"}
    with pytest.raises(NotThen) as before:
        await Past(queries).show("inventory", "boot", Moment(version=1))
    assert (before.value.first_at, before.value.last) == (PRODUCT[1].time, len(PRODUCT))


@pytest.mark.parametrize(
    ("model", "key", "history", "first"), [("orders", "o-1", ORDER, 1), ("inventory", "boot", PRODUCT, 2)]
)
async def test_a_time_means_the_latest_version_at_that_time(
    runner: Runner, mongo: Mongo, model: str, key: str, history: list[EventMessage], first: int
) -> None:
    queries = Queries(mongo)
    await shown(runner, queries, ORDERS if model == "orders" else STOCK, history)
    past = Past(queries)
    for minute in range(first - 1, 12):
        there = [message.sequence for message in history if message.time <= at(minute)]
        by_time = await past.show(model, key, Moment(as_of=at(minute).replace("00.000Z", "59.000Z")))
        assert plain(by_time) == plain(await past.show(model, key, Moment(version=there[-1])))
    with pytest.raises(NotThen):
        await past.show(model, key, Moment(as_of=at(first - 2)))
    with pytest.raises(NotThen):
        await past.show(model, key, Moment(version=len(history) + 1))
    assert await past.show(model, "unknown", Moment(version=1)) is None


@pytest.mark.parametrize(("topic", "model"), [(ORDERS, "orders"), (STOCK, "inventory")])
async def test_a_later_decision_does_not_change_earlier_moments(
    runner: Runner, mongo: Mongo, topic: str, model: str
) -> None:
    """A command's own time may be earlier than that of the command decided before it."""
    queries = Queries(mongo)
    if topic == ORDERS:
        early = order_history("x", place(("boot", 1)), Hold(reason="late"), minute=10)
    else:
        early = stock_history("x", ReceiveStock(quantity=1), ReceiveStock(quantity=1), minute=10)
    odd = [early[0], replace(early[1], time=at(3))]
    await shown(runner, queries, topic, odd)
    with pytest.raises(NotThen):
        await Past(queries).show(model, "x", Moment(as_of=at(5)))
    found = await Past(queries).show(model, "x", Moment(as_of=at(10)))
    assert found is not None
    assert found[1] == 2


@pytest.mark.parametrize(("topic", "model"), [(ORDERS, "orders"), (STOCK, "inventory")])
async def test_an_older_event_of_the_year_9999_hides_no_later_event(
    runner: Runner, mongo: Mongo, topic: str, model: str
) -> None:
    """Older code gave events their producers' times; today's have the broker's, and ids derived from their sequence."""
    queries, kind = Queries(mongo), "order" if topic == ORDERS else "inventory"
    if topic == ORDERS:
        history = order_history("y", place(("boot", 1)), Hold(reason="late"), Release(), minute=10)
    else:
        history = stock_history("y", *[ReceiveStock(quantity=1)] * 3, minute=10)
    last = replace(history[2], id=event_id(kind, "y", 3))  # type: ignore[arg-type]
    await shown(runner, queries, topic, [history[0], replace(history[1], time="9999-12-31T23:59:59.000Z"), last])
    (document, version) = await queries.show(model, "y") or ({}, 0)
    assert (version, plain(document)["updatedAt"]) == (3, last.time)
    for minute, expected in [(10, 1), (11, 1), (12, 3), (59, 3)]:
        found = await Past(queries).show(model, "y", Moment(as_of=at(minute)))
        assert found is not None
        assert found[1] == expected


@pytest.mark.parametrize("older", [0, 4])
async def test_a_time_is_found_among_many_movements_without_reading_them_all(
    runner: Runner, mongo: Mongo, older: int
) -> None:
    history = stock_history("z", *[ReceiveStock(quantity=1)] * 40)
    ours = [replace(each, id=event_id("inventory", "z", each.sequence)) for each in history[older:]]
    await runner.apply({(STOCK, 0): records(*history[:older], *ours)})
    for minute in range(40):
        await mongo.database.command("profile", 2)
        found = await Past(Queries(mongo)).show("inventory", "z", Moment(as_of=at(minute)))
        await mongo.database.command("profile", 0)
        assert found is not None
        assert found[1] == minute + 1
        read = await mongo.collection("system.profile").find({"op": "query"}).to_list(None)
        await mongo.collection("system.profile").drop()
        assert sum(each["docsExamined"] for each in read) < 2 * older + 20
