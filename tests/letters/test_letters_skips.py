"""The projector stops at an event it cannot handle, and continues when an operator skips it."""

import asyncio
import re
from pathlib import Path
from typing import Any

from kafka import messages, produce, records
from pymongo import MongoClient
from system import Api, System, wait_until

from streams.kafka.partitions import partition_of

EXPLODED = {"type": "OrderExploded", "subject": "nobody", "sequence": 1, "data": {}}


def stand(system: System, *workers: Any) -> int:
    """Write an unknown event to partition 0 of the order events; return its offset once all projectors stop there."""
    produce(system.settings, "order-events", "nobody", EXPLODED, 0)
    offset = max(r.offset() for r in records(system.settings, "order-events") if b"OrderExploded" in r.value())
    for each in workers:
        wait_until(lambda each=each: "OrderExploded" in each.reason(), "the worker to stop")
        assert re.match(rf"order-events/0 (is blocked )?at offset {offset}: ", each.reason())
    return offset


def key_on(partition: int, name: str) -> str:
    return next(key for n in range(99) if partition_of((key := f"{name}-{n}").encode(), 2) == partition)


async def test_the_projector_continues_after_a_skipped_event(system: System, api: Api, worker: Any) -> None:
    stands, goes_on = key_on(0, "stands"), key_on(1, "goes-on")
    with worker("orders"), worker("inventory"), worker("projector") as projector:
        await api.stock("skipped-boots", 100)
        offset = await asyncio.to_thread(stand, system, projector)
        await api.place(("skipped-boots", 1), orderId=stands)
        await api.place(("skipped-boots", 1), orderId=goes_on)
        await api.order(goes_on, lambda order: order["allocationStatus"] == "ALLOCATED")  # the other partition
        assert (await api("GET", f"/orders/{stands}"))[0] == 404
        place = f"order-events/0@{offset}"
        said = await asyncio.to_thread(system.run, "skip", "projector", place, "--reason", "typed by mistake")
        assert said.stdout.startswith("recorded")
        await api.order(stands, lambda order: order["allocationStatus"] == "ALLOCATED")  # without a restart
        await asyncio.to_thread(wait_until, projector.is_ready, "the projector to be ready")
    skipped = messages(system.settings, "dead-letters", lambda m: m["data"]["kind"] == "skipped")
    assert {(m["data"]["role"], m["data"]["offset"], m["data"]["reason"]) for m in skipped} == {
        ("projector", offset, "typed by mistake"),
    }
    assert all("OrderExploded" in m["data"]["value"] for m in skipped)
    database = MongoClient(system.settings.mongo)[system.settings.database]
    (document,) = database["skips"].find()
    assert (document["_id"], document["reason"]) == (f"order-events/0@{offset}", "typed by mistake")


async def test_a_worker_that_was_stopped_learns_of_the_skip_when_it_starts(
    system: System, api: Api, worker: Any
) -> None:
    behind = key_on(0, "behind")
    with worker("orders"), worker("inventory"):
        with worker("projector") as projector:
            offset = await asyncio.to_thread(stand, system, projector)
            projector.stop()
        await asyncio.to_thread(system.run, "skip", "projector", f"order-events/0@{offset}", "--reason", "again")
        await api.place(("skipped-boots", 1), orderId=behind)
        with worker("projector", ready=False):
            await api.order(behind, lambda order: order["allocationStatus"] == "ALLOCATED")


async def test_an_event_that_fails_can_be_skipped_too(system: System, api: Api, worker: Any) -> None:
    """A skipped event leaves a gap: later events of the order are projected on the state before it."""
    order = key_on(1, "gap")
    with worker("orders"), worker("inventory"), worker("projector") as projector:
        await api.place(("skipped-boots", 1), orderId=order)
        await api.order(order, lambda found: found["allocationStatus"] == "ALLOCATED")
        version = (await api("GET", f"/orders/{order}"))[1]["data"]["version"]
        held = {"type": "OrderHeld", "subject": order, "sequence": version + 2, "data": {"reason": "r"}}
        more = {"id": "x", "time": "2026-11-23T10:00:00.000Z", "source": "x", "correlationid": "c", "causationid": "d"}
        produce(system.settings, "order-events", order, held | more, 1)
        await asyncio.to_thread(wait_until, lambda: "1 missing" in projector.reason(), "the gap to be seen")
        offset = int(projector.reason().split("at offset ")[1].split(":")[0])
        place = f"order-events/1@{offset}"
        await asyncio.to_thread(system.run, "skip", "projector", place, "--reason", "a forgery")
        await asyncio.to_thread(wait_until, projector.is_ready, "the projector to continue")
        other = await api.place(("skipped-boots", 1), orderId=key_on(1, "other"))
        await api.order(other["id"])


async def test_an_impossible_skip_is_refused(system: System, tmp_path: Path) -> None:
    for arguments, sentence in (
        (("orders", "order-events/0@1"), "orders does not read order-events: choose from order-commands"),
        (
            ("typist", "order-events/0@1"),
            "There is no role 'typist' that reads topics: choose from orders, inventory, projector",
        ),
        (("projector", "order-commands/0@1"), "projector does not read order-commands: choose from order-events"),
        (("projector", "order-events/0"), "'order-events/0' is not TOPIC/PARTITION@OFFSET: write it as in"),
        (("projector", "order-events/0@999999"), "There is no event or command at order-events/0@999999"),
        (("projector", "order-events/7@0"), "order-events has partitions 0 to 1"),
    ):
        said = await asyncio.to_thread(system.run, "skip", *arguments, "--reason", "r", check=False)
        assert said.returncode != 0
        assert sentence in said.stderr
