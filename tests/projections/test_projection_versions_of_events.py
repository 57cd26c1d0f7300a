"""Histories in MongoDB that older code wrote: shown, folded and audited as today's."""

from pathlib import Path
from typing import Any

import orjson
from projection_histories import ORDERS, Record, order_history, place, records

from ops.audit.documents import Documents
from ops.audit.report import Report
from projections import order_events
from projections.mongo.client import Mongo
from projections.mongo.past import Moment, Past
from projections.mongo.queries import Queries
from projections.mongo.standing import standing
from projections.runner import Runner
from projections.table import ORDERS as PROJECTION
from streams.messages.codec import decode_event

OLD = (Path(__file__).parents[1] / "streams/events/OrderCancelled-1-by-request.json").read_bytes()
ID = "old-by-request"


async def project(runner: Runner, mongo: Mongo) -> dict[str, Any]:
    """Project an order whose end is of version 1, and leave its entry as the code of that time did."""
    placed = records(*order_history(ID, place(("walking-boots", 2))))
    await runner.apply({(ORDERS, 0): [*placed, Record(ID.encode(), OLD, 1)]})
    written = orjson.loads(OLD)
    past = {"data": written["data"], "schemaVersion": 1}
    await mongo.collection("order_events_v1").update_one({"_id": written["id"]}, {"$set": past})
    return dict(written)


async def test_an_old_entry_is_shown_and_folded_as_todays(runner: Runner, mongo: Mongo) -> None:
    written, queries = await project(runner, mongo), Queries(mongo)
    _, shown = (await queries.page("order_events", {"orderId": ID})).documents
    assert isinstance(shown, dict)
    assert (shown["schemaVersion"], shown["data"]) == (2, {**written["data"], "cause": "REQUEST"})
    live, past = await queries.show("orders", ID), await Past(queries).show("orders", ID, Moment(version=2))
    assert orjson.dumps(live) == orjson.dumps(past)
    explained = await standing(queries, ID)
    assert explained.cancelled is not None
    assert explained.cancelled["data"]["cause"] == "REQUEST"


async def test_an_old_entry_is_no_drift(runner: Runner, mongo: Mongo) -> None:
    await project(runner, mongo)
    report = Report()
    audit = Documents(mongo, PROJECTION, report)
    assert await audit.missing_entries([decode_event(OLD)]) == []
    assert not report.drifts
    entry = order_events.entry(decode_event(OLD))
    await mongo.collection("order_events_v1").update_one({"_id": entry["_id"]}, {"$set": {"data.reason": "other"}})
    await audit.missing_entries([decode_event(OLD)])
    assert [drift.key for drift in report.drifts] == [entry["_id"]]
