"""Audit stock, then orders, partition by partition; then compare the lines of orders with their reservations."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import aiohttp
from pymongo.errors import PyMongoError

from ops.audit.documents import Documents
from ops.audit.event_ids import EventIds
from ops.audit.history import Aggregate
from ops.audit.laws import order_laws, product_laws
from ops.audit.lines import Lines
from ops.audit.partition import PartitionAudit, Patience
from ops.audit.report import Kind, Report
from ops.audit.settled import wait_until_settled
from ops.audit.strangers import Strangers
from ops.audit.tables import Workers
from ops.errors import mongo_error
from ops.kafka import records
from ops.progress import Advance, ShowProgress, silent
from projections.mongo.client import Mongo
from projections.mongo.registry import live_version
from projections.projection import Projection
from projections.table import INVENTORY, ORDERS
from streams.messages.codec import event_in
from streams.runtime.settings import Settings

SETTLE_SECONDS = 30.0  # time for orders and stock to agree


async def run(settings: Settings, repair: bool, progress: ShowProgress = silent) -> Report:
    """Audit everything; with `repair`, overwrite documents that drifted with what the events say."""
    began, report, mongo = time.monotonic(), Report(), Mongo(settings)
    try:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession(headers=_authorization(settings)))
            await Audit(settings, mongo, Workers(settings, session), report, repair, progress).run()
    except PyMongoError as error:
        raise mongo_error(settings.mongo, error) from error
    finally:
        await mongo.close()
    report.seconds = time.monotonic() - began
    return report


def _authorization(settings: Settings) -> dict[str, str]:
    token = settings.secret("api_token")
    return {"Authorization": f"Bearer {token}"} if token else {}


@dataclass
class Audit:
    """One audit, up to the offsets at which the topics ended when it began."""

    settings: Settings
    mongo: Mongo
    workers: Workers
    report: Report
    repair: bool
    progress: ShowProgress
    positions: dict[str, dict[int, int]] = field(default_factory=dict)  # the next offset to read in each partition
    patience: Patience = field(default_factory=Patience)
    ids: EventIds = field(default_factory=EventIds)

    async def run(self) -> None:
        """Audit stock, then orders, then compare both with each other."""
        stock, orders = [await live_version(self.mongo, projection) for projection in (INVENTORY, ORDERS)]
        topics = [projection.topic.name for projection in (stock, orders)]
        begins = {topic: await asyncio.to_thread(records.begins, self.settings, topic) for topic in topics}
        self.report.ends = {topic: await asyncio.to_thread(records.ends, self.settings, topic) for topic in topics}
        lines = Lines(self.report)
        total = sum(end - begins[t][n] for t, ends in self.report.ends.items() for n, end in ends.items())
        with self.progress("events", total) as advance:
            await self._audit(stock, begins[topics[0]], advance, self._check_products, lines.add_products)
            await self._audit(orders, begins[topics[1]], advance, self._check_orders, lines.add_orders)
        await asyncio.to_thread(self.ids.report, self.settings, self.report.ends, self.report)
        lines.add_rest()
        await asyncio.to_thread(self._settle, lines)

    async def _audit(
        self,
        projection: Projection,
        begins: records.Offsets,
        advance: Advance,
        check: Callable[[Aggregate], None],
        add: Callable[[Iterable[Aggregate]], None],
    ) -> None:
        topic = projection.topic.name
        documents = Documents(self.mongo, projection, self.report, self.repair)
        strangers = Strangers(self.settings, documents)
        self.positions[topic] = {}
        for number, end in self.report.ends[topic].items():
            part = PartitionAudit(
                self.settings, documents, self.workers, self.report, number, begins[number], end, advance,
                self.patience, self.ids,
            )  # fmt: skip
            aggregates = (await part.run()).aggregates.values()
            for aggregate in aggregates:
                if not aggregate.broken:
                    check(aggregate)
            add(aggregates)
            strangers.know(aggregates)
            self.positions[topic][number] = part.position
        await strangers.find(self.positions[topic])

    def _check_products(self, product: Aggregate) -> None:
        self.report.checked["products"] += 1
        views = product.views.get("reservations", {}).values()
        reservations = [view.reservation for view in views]
        self.report.checked["reservations"] += len(reservations)
        balance = product.views["inventory"][product.key].stock.balance
        for what in product_laws(balance, reservations):
            self.report.drift(Kind.PRODUCT, INVENTORY.topic.name, product.key, what)

    def _check_orders(self, order: Aggregate) -> None:
        self.report.checked["orders"] += 1
        for what in order_laws(order.views["orders"][order.key].order):
            self.report.drift(Kind.ORDER, ORDERS.topic.name, order.key, what)

    # --- lines that may have been in flight

    def _settle(self, lines: Lines) -> None:
        """Compare lines that differ again after all commands in flight were handled, until they settle. Blocks."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while lines.differing and time.monotonic() < deadline:
            if late := wait_until_settled(self.settings, deadline):
                self.report.notes.append(f"{len(lines.differing)} lines could not be compared: {late}")
                break
            for topic in self.positions:
                self._read_on(topic, lines)
            lines.judge()
        lines.give_up()

    def _read_on(self, topic: str, lines: Lines) -> None:
        ends = records.ends(self.settings, topic)
        with records.Log(self.settings, topic, self.positions[topic]) as log:
            for batch in log.upto(ends):
                for record in batch:
                    if (event := event_in(record.value)) is not None and lines.wants(event.key):
                        lines.apply(event)
            self.positions[topic] = log.positions
