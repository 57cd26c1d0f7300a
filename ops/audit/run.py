"""Audit all partitions of stock and orders, then compare the lines of orders with their reservations."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from pymongo.errors import PyMongoError

from ops.audit import plan as plans
from ops.audit.event_ids import report_same
from ops.audit.groups import LIMIT
from ops.audit.lines import Fact, Lines, Pair
from ops.audit.parts import PartBase, opened, partitions, stages
from ops.audit.patience import Patience
from ops.audit.plan import Plan
from ops.audit.report import Report
from ops.audit.settled import wait_until_settled
from ops.errors import mongo_error, without_credentials
from ops.kafka import records
from ops.pool import Waiting, most_processes, pool, processes_for, shared_number, waiting
from ops.progress import ShowProgress, silent
from ops.workspace import workspace
from projections.mongo.client import Mongo
from projections.mongo.registry import Registry, live_version
from projections.projection import Projection
from projections.table import INVENTORY, ORDERS
from streams.kafka.partitions import partition_of
from streams.messages.codec import event_in
from streams.runtime.settings import Settings
from streams.topics import topic_ids

SETTLE_SECONDS = 30.0  # time for orders and stock to agree
WAIT_SECONDS = 30.0  # that all partitions together wait for projections
ENDED = "A process of the audit ended unexpectedly: run `fulfillment audit --resume`."
Tell = Callable[[str], None]


async def run(
    settings: Settings,
    repair: bool,
    progress: ShowProgress = silent,
    *,
    resume: bool = False,
    tell: Tell = lambda sentence: None,
    limit: int = LIMIT,
    processes: int | None = None,
) -> Report:
    """Audit everything; with `repair`, overwrite documents that drifted with what the events say.

    `resume`: continue the audit that was interrupted, if it was of the same topics and read models; `limit`: bytes of
    events that a process keeps in memory; `processes`: None for one per core.
    """
    with (
        waiting(processes or most_processes(2 * settings.partitions)) as forked,
        workspace(settings, "audit") as folder,
    ):
        plan = await _planned(settings, repair, limit)
        before = plans.saved(folder) if resume else None
        if before is not None and before.identity == plan.identity:
            plan = before
        else:
            if resume:
                tell("There is no interrupted audit of these topics and read models: it starts from the beginning.")
            plans.clear(folder)
            plans.save(plan, folder)
        report = await Audit(settings, plan, folder, progress, processes, forked).run()
        plans.clear(folder)
    return report


async def _planned(settings: Settings, repair: bool, limit: int) -> Plan:
    live, built = await _read_models(settings)
    topics = [projection.topic for projection in live]
    begins = {topic.name: await asyncio.to_thread(records.begins, settings, topic.name) for topic in topics}
    ends = {topic.name: await asyncio.to_thread(records.ends, settings, topic.name) for topic in topics}
    shapes = {projection.name: (projection.shape, projection.version) for projection in live}
    database = f"{without_credentials(settings.mongo)} {settings.named(settings.database)}"
    return Plan(await topic_ids(settings, topics), shapes, database, built, repair, begins, ends, limit)


async def _read_models(settings: Settings) -> tuple[list[Projection], dict[str, str]]:
    """Return the live versions that are audited, and when each was created, by name."""
    mongo = Mongo(settings)
    try:
        live = [await live_version(mongo, projection) for projection in (INVENTORY, ORDERS)]
        versions = await Registry(mongo).read()
    except PyMongoError as error:
        raise mongo_error(settings.mongo, error) from error
    finally:
        await mongo.close()
    known = {each.name: versions[each.name].get(each.version) for each in live if each.name in versions}
    return live, {name: version.created_at for name, version in known.items() if version is not None}


@dataclass
class Audit:
    """One audit, up to the offsets at which the topics ended when it was planned."""

    settings: Settings
    plan: Plan
    folder: Path
    progress: ShowProgress
    processes: int | None
    forked: Waiting | None = None
    report: Report = field(default_factory=Report)

    async def run(self) -> Report:
        """Make the parts that are left, merge their results, and let lines that differ settle."""
        began, before = time.monotonic(), plans.spent(self.folder)
        parts = stages(self.plan)
        count = self.processes or processes_for(self.plan.events, len(partitions(self.plan)))
        with shared_number(WAIT_SECONDS) as left, self.progress("events", self.plan.events) as advance:
            opens = partial(opened, self.settings, self.plan, self.folder, Patience(left))

            def say(steps: int) -> None:
                advance(steps)
                plans.spend(self.folder, before + time.monotonic() - began)

            advance(sum(each.steps(self.plan) for each in parts[0] if plans.is_done(self.folder, each.name)))
            async with pool(opens, count, say, ENDED, forked=self.forked) as processes:
                for stage in parts:
                    await processes.do([each for each in stage if not plans.is_done(self.folder, each.name)])
        self.report.ends = self.plan.ends
        results = list(self._results(chain.from_iterable(parts)))
        hashes = {bytes.fromhex(each) for found in results for each in found.get("suspects", ())}
        await asyncio.to_thread(report_same, self.settings, self.plan.ends, hashes, self.report)
        await asyncio.to_thread(self._settle, _pairs(results))
        self.report.seconds = before + time.monotonic() - began
        return self.report

    def _results(self, parts: Iterable[PartBase]) -> Iterator[dict[str, Any]]:
        for each in parts:
            found = plans.result(self.folder, each.name)
            self.report.add(found["report"])
            yield found

    # --- lines that may have been in flight

    def _settle(self, pairs: list[Pair]) -> None:
        """Compare lines that differ again after all commands in flight were handled, until they settle. Blocks."""
        lines = Lines(self.report)
        if not pairs:
            lines.give_up()
            return
        for pair in pairs:
            lines.add(pair)
        positions = starts(self.plan.ends, self.settings.partitions, pairs)
        self._read_on(positions, lines)
        lines.look()
        deadline = time.monotonic() + SETTLE_SECONDS  # only now: of many events, the first reading takes longer
        while lines.differing:
            if late := wait_until_settled(self.settings, deadline):
                self.report.notes.append(f"{len(lines.differing)} lines could not be compared: {late}")
                break
            self._read_on(positions, lines)
            lines.judge()
            if time.monotonic() >= deadline:
                break
        lines.give_up()

    def _read_on(self, positions: plans.Ends, lines: Lines) -> None:
        for topic in positions:
            ends = records.ends(self.settings, topic)
            with records.Log(self.settings, topic, positions[topic]) as log:
                for batch in log.upto(ends):
                    for record in batch:
                        if lines.wants((record.key or b"").decode(errors="replace")) and (
                            event := event_in(record.value)
                        ):
                            lines.apply(event)
                positions[topic] = log.positions


def starts(ends: plans.Ends, count: int, pairs: Iterable[Pair]) -> plans.Ends:
    """Return the offsets from which the events of the orders and products of `pairs` are read."""
    found = {topic: dict(each) for topic, each in ends.items()}
    sides = {INVENTORY.topic.name: ("reservation", "product_id"), ORDERS.topic.name: ("line", "order_id")}
    for pair in pairs:
        for topic, (side, owner) in sides.items():
            fact: Fact | None = getattr(pair, side)
            if fact is not None:
                number = partition_of(getattr(fact, owner).encode(), count)
                found[topic][number] = min(found[topic][number], fact.offset)
    return found


def _pairs(results: Iterable[dict[str, Any]]) -> list[Pair]:
    every = (pair for found in results for pair in found.get("pairs", ()))
    return [Pair(*(Fact(*side) if side is not None else None for side in pair)) for pair in every]
