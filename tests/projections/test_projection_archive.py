"""Archived orders leave the collection of live orders and come back, wherever a projector is interrupted."""

from typing import Any

import orjson
import pytest
from projection_histories import ORDERS, Record, allocate, at, order_history, place, records
from pymongo.errors import PyMongoError

from domain.message import Event
from domain.orders import evolve_order
from domain.orders.commands import CreateShipment, DeliverShipment
from domain.orders.events import OrderArchived, ReturnLine, ReturnRequested
from projections.mongo import writes
from projections.mongo.asking import Asking
from projections.mongo.client import Mongo
from projections.mongo.counts import counts
from projections.mongo.indexes import create_indexes
from projections.mongo.queries import Queries
from projections.runner import Runner
from projections.table import OLDER_SHAPES, PROJECTIONS
from projections.table import ORDERS as TODAY
from streams.messages.envelope import EventMessage
from streams.runtime import faults
from streams.runtime.settings import Settings

NAMES = (*(TODAY.collection(name) for name in TODAY.collections), "projections")
LATE = ReturnRequested(return_id="r-1", lines=(ReturnLine(line_id="1", product_id="boot", quantity=1),), reason="?")
AT = (ORDERS, 0)


def delivered(order_id: str = "o-1", customer: str = "alice") -> list[EventMessage]:
    shipment = CreateShipment(shipment_id="s-1"), DeliverShipment(shipment_id="s-1")
    return order_history(order_id, place(("boot", 2), customer=customer), allocate("boot", 2), *shipment)


def then(history: list[EventMessage], *events: Event) -> list[EventMessage]:
    """Return a history that continues with other events, an hour later."""
    more = [
        EventMessage(f"{n}", history[0].key, event, n, at(60 + n), "order", "flow", "cause")
        for n, event in enumerate(events, len(history) + 1)
    ]
    return [*history, *more]


ARCHIVED = then(delivered(), OrderArchived())
RETURNED = then(delivered(), OrderArchived(), LATE)
TWICE = then(delivered(), OrderArchived(), LATE, OrderArchived())


async def dump(mongo: Mongo) -> dict[str, Any]:
    return {name: await mongo.collection(name).find().sort("_id").to_list(None) for name in NAMES[:-1]}


async def emptied(mongo: Mongo) -> None:
    for name in NAMES:
        await mongo.collection(name).delete_many({})


async def places(mongo: Mongo) -> list[list[str]]:
    """Return the ids of the live and of the archived documents."""
    found = await dump(mongo)
    return [[each["_id"] for each in found[name]] for name in ("orders_v1", "orders_archive_v1")]


def test_a_document_says_since_when_its_order_is_archived_and_when_it_changed_last() -> None:
    model = TODAY.models[0]
    view: Any = None
    for message in ARCHIVED:
        view = model.fold(view, message)
    assert (view.archived_at, view.updated_at) == (at(65), at(3))
    assert model.view_of(model.document_of(view)).archived_at == view.archived_at
    assert (model.fold(view, RETURNED[-1]).archived_at, model.fold(view, RETURNED[-1]).updated_at) == (None, at(66))
    assert evolve_order(view.order, OrderArchived()) == view.order


async def test_an_archived_order_is_found_by_id_and_listed_apart(mongo: Mongo, runner: Runner) -> None:
    await runner.apply({AT: records(*ARCHIVED, *delivered("o-2"), *then(delivered("o-3", "bob"), OrderArchived()))})
    queries = Queries(mongo)
    assert await places(mongo) == [["o-2"], ["o-1", "o-3"]]
    shown: Any = await queries.show("orders", "o-1")
    assert shown[1] == 5
    assert orjson.loads(orjson.dumps(shown[0]))["archivedAt"] == at(65)
    assert [await queries.version("orders", each) for each in ("o-1", "o-2", "unknown")] == [5, 4, 0]
    assert {each["_id"] for each in await queries.stored("orders", ["o-1", "o-2", "unknown"])} == {"o-1", "o-2"}
    for where, ids in (({}, {"o-1", "o-3"}), ({"customerId": "bob"}, {"o-3"}), ({"status": "CANCELLED"}, set())):
        for sort in (None, "updatedAt"):
            page = await queries.page("orders", where, aside=True, sort=sort)
            assert len(page.documents) == len(ids)
    of_alice = await queries.page("customer_orders", {"customerId": "alice"}, aside=True)
    assert [(each["id"], each["archivedAt"]) for each in map(dict, of_alice.documents)] == [("o-1", at(65))]
    assert len((await queries.page("customer_orders", {"customerId": "alice"})).documents) == 1


async def test_an_order_is_found_with_at_most_two_requests(
    mongo: Mongo, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runner.apply({AT: records(*ARCHIVED, *delivered("o-2"))})
    queries, asked, ask = Queries(mongo), list[list[str]](), Asking._found

    async def counted(asking: Asking, identifiers: list[str]) -> Any:
        asked.append(identifiers)
        return await ask(asking, identifiers)

    monkeypatch.setattr(Asking, "_found", counted)
    for identifier, requests in (("o-2", 1), ("o-1", 2), ("unknown", 2)):
        found = await queries.show("orders", identifier)
        assert (found is None) is (identifier == "unknown")
        assert asked == [[identifier]] * requests
        asked.clear()


async def test_documents_are_kept_with_the_others_if_the_setting_says_so(mongo: Mongo, settings: Settings) -> None:
    kept = settings.model_copy(update={"archived_documents": "keep"})
    await Runner(mongo, settings).apply({AT: records(*ARCHIVED)})
    await Runner(mongo, kept).apply({(ORDERS, 0): records(*then(delivered("o-2"), OrderArchived()), first=9)})
    assert await places(mongo) == [["o-2"], ["o-1"]]
    assert [await Queries(mongo).version("orders", each) for each in ("o-1", "o-2")] == [5, 5]
    await Runner(mongo, kept).apply({AT: records(RETURNED[-1], first=20)})
    assert await places(mongo) == [["o-1", "o-2"], []]


async def test_archived_orders_are_still_counted(mongo: Mongo, runner: Runner) -> None:
    await runner.apply({AT: records(*ARCHIVED, *delivered("o-2"))})
    found = (await counts(Queries(mongo)))["orders"]
    assert (found["total"], found["byStatus"]["DELIVERED"], found["archived"]) == (2, 2, 1)


async def test_older_shapes_count_archived_orders_too(mongo: Mongo, settings: Settings) -> None:
    older = OLDER_SHAPES[-2:]
    await create_indexes(mongo, older)
    await Runner(mongo, settings, older).apply({AT: records(*ARCHIVED, *delivered("o-2"))})
    found = (await counts(Queries(mongo, older)))["orders"]
    assert (found["total"], found["byStatus"]["DELIVERED"], found["archived"]) == (2, 2, 1)


@pytest.mark.parametrize("history", [ARCHIVED, RETURNED, TWICE], ids=["archived", "restored", "archived again"])
async def test_a_document_is_in_one_place_however_its_events_arrive(
    mongo: Mongo, runner: Runner, settings: Settings, history: list[EventMessage]
) -> None:
    batch = records(*history)
    await runner.apply({AT: batch})
    at_once = await dump(mongo)
    assert [len(at_once[name]) for name in ("orders_v1", "orders_archive_v1")] == [
        history is RETURNED,
        history is not RETURNED,
    ]
    for forgets in (False, True):
        await emptied(mongo)
        one_by_one = Runner(mongo, settings)
        for record in batch:
            await one_by_one.apply({AT: [record]})
            one_by_one.forget_all() if forgets else None
        assert await dump(mongo) == at_once


async def interrupted(mongo: Mongo, settings: Settings, point: str, batches: list[list[Record]]) -> bool:
    """Apply batches; the last one is interrupted. Return whether it got there."""
    for batch in batches[:-1]:
        await Runner(mongo, settings).apply({AT: batch})
    faults.arm(f"raise:{point}", "projector-0")
    try:
        await Runner(mongo, settings).apply({AT: batches[-1]})
    except faults.Injected:
        return True
    finally:
        faults.ARMED.clear()
    return False


@pytest.mark.parametrize("point", ["loaded", "folded", "logs-written", "moved", "documents-written", "progress-stored"])
async def test_a_projector_that_is_interrupted_leaves_no_document_behind(
    mongo: Mongo, settings: Settings, point: str
) -> None:
    batch = records(*TWICE)
    for end in range(5, len(batch) + 1):
        await emptied(mongo)
        await Runner(mongo, settings).apply({AT: batch})
        whole, reached = await dump(mongo), 0
        for begun in (0, 4, 5, 6):
            if begun < end:
                await emptied(mongo)
                reached += await interrupted(
                    mongo, settings, point, [some for some in (batch[:begun], batch[begun:end]) if some]
                )
                again = Runner(mongo, settings)
                positions = await again.positions([AT])
                await again.apply({AT: batch[positions[AT] :]} if positions[AT] < len(batch) else {})
                assert await dump(mongo) == whole, f"{point}: begun at {begun}, interrupted before {end}"
        assert reached, "the fault was injected"


async def test_a_document_that_is_not_removed_is_removed_when_the_events_are_read_again(
    mongo: Mongo, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = records(*RETURNED)

    async def fails(*_: Any) -> None:
        raise PyMongoError("gone")

    for end in (5, 6):
        await emptied(mongo)
        await Runner(mongo, settings).apply({AT: batch[: end - 1]})
        with monkeypatch.context() as broken:
            broken.setattr("projections.pipeline.remove", fails)
            with pytest.raises(PyMongoError):
                await Runner(mongo, settings).apply({AT: batch[:end]})
        assert await places(mongo) == [["o-1"], ["o-1"]]
        again = Runner(mongo, settings)
        await again.positions([AT])
        await again.apply({AT: batch[:end]})
        assert await places(mongo) == ([["o-1"], []] if end == 6 else [[], ["o-1"]])


async def test_a_newer_document_is_not_removed(mongo: Mongo, runner: Runner) -> None:
    await runner.apply({AT: records(*RETURNED)})
    await writes.remove(mongo.collection("orders_v1"), [("o-1", 6), ("unknown", 9)])
    assert await places(mongo) == [["o-1"], []]


def test_every_collection_has_its_model() -> None:
    places = [place for one in PROJECTIONS for model in one.models for place in model.places]
    assert len(places) == len(set(places))
    assert {"orders", "orders_archive"} <= set(places)
