"""Histories that older code wrote to MongoDB: shown, folded and audited like today's."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from projection_histories import ORDERS, Record, order_history, place, records

from ops.audit.documents import Documents
from ops.audit.report import Report
from projections.mongo.client import Mongo
from projections.mongo.past import Moment, Past
from projections.mongo.queries import Queries
from projections.mongo.standing import standing
from projections.runner import Runner
from projections.table import shape_of
from streams.messages.codec import decode_event
from streams.runtime.settings import Settings

OLD = (Path(__file__).parents[1] / "streams/events/OrderCancelled-1-by-request.json").read_bytes()
ID = "old-by-request"


OLDER = shape_of("orders", 1)
assert OLDER is not None


@pytest.fixture
async def written(mongo: Mongo, settings: Settings) -> dict[str, Any]:
    """Project an order whose last event has version 1 in shape 1, and store its entry in the form of that time."""
    placed = records(*order_history(ID, place(("walking-boots", 2))))
    runner = Runner(mongo, settings, [OLDER])
    await runner.apply({(ORDERS, 0): [*placed, Record(ID.encode(), OLD, 1)]})
    written: dict[str, Any] = orjson.loads(OLD)
    past = {"data": written["data"], "schemaVersion": 1}
    done = await mongo.collection("order_events_v1").update_one({"_id": written["id"]}, {"$set": past})
    assert done.matched_count == 1
    return written


async def test_an_old_entry_is_shown_and_folded_like_those_of_today(written: dict[str, Any], mongo: Mongo) -> None:
    queries = Queries(mongo, [OLDER])
    _, shown = (await queries.page("order_events", {"orderId": ID})).documents
    assert isinstance(shown, dict)
    assert (shown["schemaVersion"], shown["data"]) == (2, {**written["data"], "cause": "REQUEST"})
    live, past = await queries.show("orders", ID), await Past(queries).show("orders", ID, Moment(version=2))
    assert orjson.dumps(live) == orjson.dumps(past)
    explained = await standing(queries, ID)
    assert explained.cancelled is not None
    assert explained.cancelled["data"]["cause"] == "REQUEST"


async def test_an_old_event_is_shown_like_those_of_today(mongo: Mongo, runner: Runner) -> None:
    placed = records(*order_history(ID, place(("walking-boots", 2))))
    await runner.apply({(ORDERS, 0): [*placed, Record(ID.encode(), OLD, 1)]})
    _, shown = (await Queries(mongo).page("order_events", {"orderId": ID})).documents
    assert isinstance(shown, dict)
    assert (shown["schemaVersion"], shown["data"]["cause"]) == (2, "REQUEST")


@pytest.mark.usefixtures("written")
async def test_an_old_entry_does_not_count_as_drift(mongo: Mongo) -> None:
    report, read = Report(), (decode_event(OLD), Record(ID.encode(), OLD, 1))
    audit = Documents(mongo, OLDER, report)
    assert await audit.missing_entries([read]) == []
    assert not report.drifts
    entries = mongo.collection("order_events_v1")
    done = await entries.update_one({"_id": read[0].id}, {"$set": {"data.reason": "other"}})
    assert done.matched_count == 1
    await audit.missing_entries([read])
    assert [drift.key for drift in report.drifts] == [read[0].id]
