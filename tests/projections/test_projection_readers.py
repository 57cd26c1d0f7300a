"""Running processes record which read models they know; versions unknown to them are neither built nor promoted."""

from datetime import UTC, datetime, timedelta

import pytest

from ops.versions import readers as checks
from ops.versions.work import Work
from projections.mongo.client import Mongo
from projections.mongo.readers import GONE_SECONDS, READERS, Presence, running_readers
from projections.mongo.registry import Registry
from projections.readers import KNOWN, Reader, absent, idle, unaware, unread
from projections.table import CUSTOMER_SUMMARY
from projections.versions import Denied
from streams.runtime.settings import Settings

NOW = datetime.now(UTC)
SUMMARY = (CUSTOMER_SUMMARY.name, CUSTOMER_SUMMARY.shape)


def reader(name: str, *follows: str, knows: frozenset[tuple[str, int]] = KNOWN) -> Reader:
    role = name.partition("-")[0]
    return Reader(name, NOW, name, role, knows, frozenset(follows))  # type: ignore[arg-type]


def test_processes_of_older_code_are_named_together_with_the_remedy() -> None:
    old = frozenset({("orders", 1)})
    running = [reader("api-0", knows=old), reader("projector-0", knows=old), reader("projector-1")]
    said = unaware(running, SUMMARY)
    assert said == (
        "api-0 and projector-0 run code that does not know shape 1 of customer_summary: "
        "restart with this code (`fulfillment restart projector api`), then retry."
    )
    assert unaware(running, ("orders", 1)) is None
    assert "shape 2 of orders" in (unaware(running, ("orders", 2)) or ""), "only its shape is new"


def test_a_version_is_kept_up_to_date_only_if_every_projector_follows_it() -> None:
    follows, passes = reader("projector-0", "orders/v2"), reader("projector-1", "orders/v1")
    assert idle([follows], "orders/v2") is None
    assert idle([follows, passes], "orders/v2") == (
        "projector-1 does not keep orders/v2 up to date: `fulfillment restart projector`."
    )
    assert "No running projector keeps orders/v2 up to date" in (idle([reader("api-0")], "orders/v2") or "")
    assert absent([follows], "orders") is None


def test_an_api_that_does_not_read_the_live_versions_is_named() -> None:
    assert unread([reader("api-0", "orders/v2"), reader("projector-0")], ["orders/v2"]) is None
    said = unread([reader("api-0", "orders/v2")], ["orders/v2", "customer_summary/v1"])
    assert said == "api-0 does not read customer_summary/v1: `fulfillment restart api`."


async def test_entries_of_processes_are_read_and_expire(mongo: Mongo, settings: Settings) -> None:
    projector, api, other = (Presence(mongo, role, settings) for role in ("projector", "api", "api"))  # type: ignore[arg-type]
    await projector.tell(["orders/v1"])
    await api.tell([])
    await other.tell([])  # two APIs may have the same name
    found = await running_readers(mongo)
    assert [(one.name, one.knows) for one in found] == [("api-0", KNOWN), ("api-0", KNOWN), ("projector-0", KNOWN)]
    await Presence(mongo, "projector", settings, knows=()).tell([])  # its restart, with other code
    await other.forget()
    long_ago = NOW - timedelta(seconds=GONE_SECONDS + 5)
    await mongo.collection(READERS).update_many({"role": "api"}, {"$set": {"seen": long_ago}})
    assert [(one.name, one.knows, one.follows) for one in await running_readers(mongo)] == [
        ("projector-0", frozenset(), frozenset())
    ]


async def test_no_version_is_built_or_promoted_for_processes_that_do_not_know_it(
    mongo: Mongo, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "SHORTEST_SECONDS", 0.0)
    monkeypatch.setattr(checks, "LONGEST_SECONDS", 0.5)
    work = Work(settings, mongo, Registry(mongo))
    with pytest.raises(Denied, match="No running projector keeps customer_summary up to date"):
        await checks.refuse_unattended(work, *SUMMARY)
    await checks.refuse_unaware(work, *SUMMARY)  # a replay does not require any
    old = Presence(mongo, "projector", settings, knows=[("orders", 1)])
    await old.tell(["orders/v1"])
    for check in (checks.refuse_unaware, checks.refuse_unattended):
        with pytest.raises(Denied, match="projector-0 runs code that does not know shape 1 of customer_summary"):
            await check(work, *SUMMARY)
    new = Presence(mongo, "projector", settings)
    await new.tell(["orders/v1"])
    await checks.refuse_unattended(work, *SUMMARY)
    with pytest.raises(Denied, match="does not keep customer_summary/v1 up to date"):
        await checks.refuse_unfollowed(work, CUSTOMER_SUMMARY)
    await new.tell(["orders/v1", "customer_summary/v1"])
    await checks.refuse_unfollowed(work, CUSTOMER_SUMMARY)
