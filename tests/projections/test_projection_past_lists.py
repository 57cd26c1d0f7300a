"""Lists at earlier times: exactly what the lists answered then, within the limits of a page."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from msgspec.structs import replace
from projection_histories import ORDERS, STOCK, allocate, at, order_history, place, records, stock_history

from domain.inventory.commands import AdjustStock, DiscontinueProduct, ReactivateProduct, ReceiveStock, ReserveStock
from domain.orders.commands import CancelOrder, CreateShipment, DeliverShipment, Hold, OrderCommand, Release
from projections.mongo import listing, past_lists
from projections.mongo.client import Mongo
from projections.mongo.past_lists import PastLists, TooFar
from projections.mongo.queries import BadCursor, BadSort, Queries
from projections.runner import Runner
from streams.messages.envelope import EventMessage, event_id

LIVES: tuple[tuple[tuple[tuple[str, int], ...], tuple[OrderCommand, ...]], ...] = (
    ((("boot", 2),), (allocate("boot", 2), Hold(reason="?"), Release(), CreateShipment(shipment_id="s-1"))),
    ((("boot", 1), ("hat", 1)), (allocate("boot", 1), allocate("hat", 1), CancelOrder(reason="no"))),
    ((("boot", 3),), (allocate("boot", 1, backordered=2), allocate("boot", 3))),
    ((("boot", 1),), (allocate("boot", 1), CreateShipment(shipment_id="s-1"), DeliverShipment(shipment_id="s-1"))),
    ((("boot", 1),), (allocate("boot", 0, backordered=1),)),
)
MINUTES = 13
EVENTS: list[tuple[str, EventMessage]] = [
    *(
        (ORDERS, replace(message, id=event_id("order", message.key, message.sequence)))
        for number in range(10)
        for lines, commands in (LIVES[number % 5],)
        for message in order_history(
            f"o-{number}", place(*lines, customer="alice" if number % 3 else "bob"), *commands, minute=number
        )
    ),
    *(
        (STOCK, replace(message, id=event_id("inventory", message.key, message.sequence)))
        for number, product in enumerate(("boot", "hat", "sock"))
        for message in stock_history(
            product,
            ReserveStock(order_id="o-0", line_id="1", quantity=1, order_version=1),  # before it exists: rejected
            ReceiveStock(quantity=4),
            DiscontinueProduct(reason="end of line"),
            ReactivateProduct(),
            AdjustStock(delta=3, reason="found"),
            minute=4 * number,
        )
    ),
]
LISTS: tuple[tuple[str, Mapping[str, Any], str], ...] = (
    ("orders", {}, "-createdAt"),
    ("orders", {}, "createdAt"),
    ("orders", {"customerId": "alice", "status": {"$in": ["REGISTERED", "SHIPPED"]}}, "createdAt"),
    ("orders", {"allocationStatus": "ALLOCATED"}, "-createdAt"),
    ("inventory", {}, "id"),
    ("inventory", {"status": "DISCONTINUED"}, "-id"),
    ("work_queue", {}, "since"),
    ("work_queue", {}, "-since"),
    ("work_queue", {"customerId": "bob"}, "since"),
)
NEVER = {"createdAt": (None, None)}


async def pages(lists: Queries | PastLists, name: str, where: Mapping[str, Any], sort: str, limit: int) -> list[Any]:
    """Return the documents of all pages."""
    found, cursor = list[Any](), None
    while True:
        page = await lists.page(name, where, within=NEVER, sort=sort, limit=limit, cursor=cursor)
        found += orjson.loads(orjson.dumps(page.documents))
        if (cursor := page.next_cursor) is None:
            return found


async def lived(runner: Runner, queries: Queries) -> list[list[list[Any]]]:
    """Project all events minute by minute; return all lists after each."""
    seen, offsets = list[list[list[Any]]](), {ORDERS: 0, STOCK: 0}
    for minute in range(MINUTES):
        for topic in offsets:
            now = [message for where, message in EVENTS if where == topic and message.time == at(minute)]
            if now:
                await runner.apply({(topic, 0): records(*now, first=offsets[topic])})
            offsets[topic] += len(now)
        seen.append([await pages(queries, *each, limit=100) for each in LISTS])
    assert sum(offsets.values()) == len(EVENTS)
    return seen


@pytest.mark.parametrize("narrow", [False, True], ids=["", "narrow"])
async def test_each_list_is_answered_as_it_was_in_each_minute(
    runner: Runner, mongo: Mongo, monkeypatch: pytest.MonkeyPatch, narrow: bool
) -> None:
    queries = Queries(mongo)
    seen = await lived(runner, queries)
    assert len({orjson.dumps(each) for each in seen}) == MINUTES, "every minute changes a list"
    if narrow:  # pages that end early, and more batches than one
        for name, value in {"BATCH": 3, "RECONSTRUCTED": 2, "AT_ONCE": 2, "EVENTS": 30}.items():
            monkeypatch.setattr(past_lists, name, value)
    for minute, then in enumerate(seen):
        past = PastLists(queries, at(minute))
        found = [await pages(past, *each, limit=2 if narrow else 100) for each in LISTS]
        for question, now, was in zip(LISTS, found, then, strict=True):
            assert now == was, (minute, question)


async def test_a_page_ends_when_it_has_read_enough(
    runner: Runner, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = Queries(mongo)
    seen = await lived(runner, queries)
    monkeypatch.setattr(past_lists, "AT_ONCE", 1)
    for name, most in (("EXAMINED", 3), ("RECONSTRUCTED", 2), ("EVENTS", 5)):
        with monkeypatch.context() as changed:
            changed.setattr(past_lists, name, most)
            page = await PastLists(queries, at(3)).page(
                "orders", {}, within=NEVER, sort="createdAt", limit=100, cursor=None
            )
            assert 0 < len(page.documents) < len(seen[3][1])
            assert page.next_cursor is not None


@pytest.mark.parametrize("limits", [("CHANGED",), ("TOUCHED", "EXAMINED"), ("EVENTS",)], ids=lambda each: each[0])
async def test_a_work_queue_of_which_too_much_has_changed_is_refused(
    runner: Runner, mongo: Mongo, monkeypatch: pytest.MonkeyPatch, limits: tuple[str, ...]
) -> None:
    queries = Queries(mongo)
    await lived(runner, queries)
    for name in limits:
        monkeypatch.setattr(past_lists, name, 1)
    monkeypatch.setattr(listing, "EXAMINED", past_lists.EXAMINED)
    with pytest.raises(TooFar, match="choose a later time"):
        await pages(PastLists(queries, at(6)), "work_queue", {}, "since", 10)
    assert await pages(PastLists(queries, at(MINUTES)), "work_queue", {}, "since", 10)


async def test_another_order_or_another_cursor_is_refused(runner: Runner, mongo: Mongo) -> None:
    queries = Queries(mongo)
    await lived(runner, queries)
    with pytest.raises(BadSort, match="-createdAt, createdAt"):
        await pages(PastLists(queries, at(6)), "orders", {}, "updatedAt", 10)
    page = await PastLists(queries, at(6)).page("orders", {}, within=NEVER, sort=None, limit=1, cursor=None)
    with pytest.raises(BadCursor):
        await PastLists(queries, at(7)).page("orders", {}, within=NEVER, sort=None, limit=1, cursor=page.next_cursor)
