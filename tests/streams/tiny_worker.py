"""A worker that records what it handles, with one JSON line for each part of a fetch, and commits the offsets.

tiny_worker.py <journal> [hang | slow | away | stop | drop | restoring | undone | cling | steal]
"""

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import mode.loop

mode.loop.use("uvloop")

from faust.types import TP  # noqa: E402

import streams.runtime.app  # noqa: E402
from agents.operations import pages  # noqa: E402
from streams.kafka.transactions import Aborted, Transactions, Unclear, committed_offsets  # noqa: E402
from streams.kafka.transport import Fetch, Offsets, Part, Prepared, Untouched, handle_fetches  # noqa: E402
from streams.runtime.app import create_app  # noqa: E402
from streams.runtime.running import run_until_stopped  # noqa: E402
from streams.runtime.settings import Settings  # noqa: E402
from streams.runtime.watchdog import Watchdog  # noqa: E402
from streams.topics import Topic  # noqa: E402
from streams.topology import group_of, instance_of  # noqa: E402

journal, behaviour = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
settings = Settings()
app = create_app("orders", settings)
app.reads = (Topic("in", "anything"),)
group = group_of("orders", settings)
transactions = Transactions(settings, group, instance_of("orders", settings))
pages(app)


class Armed(Watchdog):
    """A watchdog that begins once the test says so: how soon a group forms depends on the machine."""

    async def watch(self) -> None:
        while not journal.with_suffix(".armed").exists():  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(0.05)
        await Watchdog(self.app, self.seconds).watch()


streams.runtime.app.Watchdog = Armed  # type: ignore[misc]


class Work:
    """Prepares and starts as the app asks; fetches are handled by `handle` below."""

    async def start(self) -> None:
        await transactions.start()

    async def prepare(self, inputs: set[TP]) -> Prepared:
        if behaviour == "restoring" and inputs:
            generation = app.consumer.member().generation
            await asyncio.sleep(1.5 * settings.session_timeout)
            write_down({"generation": generation})
        return Prepared(await committed_offsets(settings, group, inputs))

    async def handle(self, fetch: Fetch) -> Offsets | None:
        return await handle(fetch)

    def due(self) -> Mapping[int, float]:
        return {}

    def tell(self, lag: Mapping[TP, int]) -> None:
        """Set no metrics."""


app.work = Work()


def write_down(*lines: dict[str, Any]) -> None:
    with journal.open("a") as out:
        out.writelines(json.dumps(line) + "\n" for line in lines)


def part_of(fetch: Fetch, tp: TP) -> dict[str, Any]:
    part = fetch.parts[tp]
    records = [[record.offset, record.value.decode()] for record in part.records]
    return {
        "epoch": fetch.epoch,
        "partition": tp.partition,
        "began": part.began,
        "ended": part.ended,
        "records": records,
    }


async def commit(fetch: Fetch, offsets: Offsets) -> Offsets | None:
    try:
        await transactions.commit([], offsets, fetch.member)
        return offsets
    except (Aborted, Unclear):
        return None


def drop_what_is_queued(stream: Any) -> None:
    """Do by hand, twice, what flow control does: clear the queue between two fetches."""
    ack, times = stream.ack, 2

    async def ack_and_drop(event: Any) -> Any:
        nonlocal times
        if times:
            await asyncio.sleep(0.5)  # the next fetch is in flight meanwhile
            if stream.channel.queue.qsize():
                stream.channel.queue.clear()
                times -= 1
                write_down({"dropped": True})
        return await ack(event)

    stream.ack = ack_and_drop


async def clinging() -> None:
    """Wait forever, ignoring cancellation."""
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(600)


async def steal() -> None:
    """Take the fetched records three times, like a fetch whose handler has gone."""
    thread, times = app.consumer._thread, 3
    while times:
        taking = thread.kafka._fetcher.fetched_records
        if stolen := await thread.call_thread(taking, set(app.consumer.progress.handed), 0.2):
            times -= 1
            write_down({"stolen": sum(map(len, stolen.values()))})


thief: asyncio.Task[None] | None = None


async def handle(fetch: Fetch) -> Offsets | None:
    global thief
    if behaviour == "steal":
        thief = thief or asyncio.create_task(steal())
    write_down(*[part_of(fetch, tp) for tp in fetch.parts])
    if behaviour == "hang":
        await asyncio.sleep(600)
    if behaviour == "cling":
        await clinging()
    if behaviour == "slow":
        await asyncio.sleep(0.2)
    if behaviour == "away":
        app.waiting_for = "Kafka is unreachable"
        await asyncio.sleep(600)
    handled = dict(fetch.parts)
    for tp, part in fetch.parts.items():
        if behaviour == "stop" and tp.partition == 0:
            app.consumer.stop_partition(tp, "partition 0 stands")
            handled[tp] = Part(part.began, part.records[:1])
    if behaviour == "undone":
        return None
    return await commit(fetch, {tp: part.ended for tp, part in handled.items()})


@app.agent(app.topic(settings.named("in"), schema=Untouched()))
async def agent(stream: Any) -> None:
    if behaviour == "drop":
        drop_what_is_queued(stream)
    await handle_fetches(stream, handle)


logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
run_until_stopped(app)
