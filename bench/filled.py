"""Read models of many orders, folded and written by the projector's own runner, without Kafka.

Orders are copies of a few histories (`bench/events.py`) with other ids, customers and times. There are the same few
customers and products, however many orders there are. Every tenth order waits for the first product.
"""

import asyncio
import gc
import multiprocessing
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from bench.events import (
    BEGIN,
    CUSTOMER,
    ORDER,
    PRODUCT,
    TEMPLATES,
    copied,
    order_template,
    product_template,
    queue_template,
)
from ops.kafka.records import BulkRecord
from projections.mongo.client import Mongo
from projections.mongo.indexes import create_collections, create_indexes
from projections.mongo.registry import Registry
from projections.runner import Runner
from projections.table import PROJECTIONS
from streams.messages.envelope import Outcome, event_id, instant_of
from streams.runtime.settings import Settings
from streams.topics import COMMAND_OUTCOMES, INVENTORY_EVENTS, ORDER_EVENTS

CUSTOMERS, PRODUCTS = 20, 200
PROCESSES = 2
BATCH = 2_500  # records per partition that are folded at once
SECONDS_APART = 0.05  # orders
WAITING = 10  # one in this many orders waits for the first product
REFUSALS = 200  # commands that the first order refused

Message = tuple[bytes, bytes]  # key, value


def order_id(number: int) -> str:
    """Return the id of an order."""
    return f"order-{number:08}"


def customer_id(number: int) -> str:
    """Return the id of a customer."""
    return f"customer-{number:05}"


def product_id(number: int) -> str:
    """Return the id of a product."""
    return f"product-{number:08}"


def placed_at(number: int) -> str:
    """Return when an order was placed."""
    return instant_of(BEGIN + 1 + number * SECONDS_APART)


def fill(settings: Settings, count: int) -> None:
    """Write the read models of `count` orders into an empty database; create the indexes at the end."""
    asyncio.run(_prepare(settings))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(settings, count, first)) for first in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0, "a process that fills the read models failed"
    asyncio.run(_index(settings))


async def _prepare(settings: Settings) -> None:
    mongo = Mongo(settings)
    await Registry(mongo).bootstrap()
    await create_collections(mongo, PROJECTIONS)
    await mongo.close()


async def _index(settings: Settings) -> None:
    mongo = Mongo(settings)
    await create_indexes(mongo, PROJECTIONS)
    await mongo.close()


def _fill(settings: Settings, count: int, first: int) -> None:
    """Write the share of one process: some partitions."""
    gc.disable()  # as in a build: there are no cycles
    asyncio.run(_write(settings, count, range(first, settings.partitions, PROCESSES)))


async def _write(settings: Settings, count: int, partitions: Iterable[int]) -> None:
    mongo = Mongo(settings)
    runner = Runner(mongo, settings)
    for topic, messages in ((ORDER_EVENTS, _orders), (INVENTORY_EVENTS, _stock), (COMMAND_OUTCOMES, _outcomes)):
        sources = {
            (settings.named(topic.name), number): enumerate(messages(count, number, settings.partitions))
            for number in partitions
        }
        while batches := _batches(sources):
            await runner.apply(batches)
    await mongo.close()


def _batches(sources: Mapping[tuple[str, int], Iterator[tuple[int, Message]]]) -> dict[Any, Sequence[BulkRecord]]:
    """Return the next records of each partition that has more."""
    received = int(time.time() * 1000)  # an outcome is kept for a week from then
    found = {
        (topic, number): [
            BulkRecord(key, value, number, offset, received) for offset, (key, value) in islice(messages, BATCH)
        ]
        for (topic, number), messages in sources.items()
    }
    return {at: records for at, records in found.items() if records}


def _orders(count: int, partition: int, partitions: int) -> Iterator[Message]:
    templates = [order_template(number) for number in range(TEMPLATES)]
    for number in range(partition, count, partitions):
        own, customer = order_id(number), customer_id(number // 7 % CUSTOMERS)
        for step, event in enumerate(templates[number // partitions % TEMPLATES], start=1):
            then = instant_of(BEGIN + step), instant_of(BEGIN + step + number * SECONDS_APART)
            names = (ORDER, own), (CUSTOMER, customer), then
            yield own.encode(), copied(event, event_id("order", own, step), names)


def _stock(count: int, partition: int, partitions: int) -> Iterator[Message]:
    template = product_template()
    for number in range(partition, PRODUCTS, partitions):
        events = queue_template(count // WAITING) if number == 0 else template
        own = product_id(number)
        for step, event in enumerate(events, start=1):
            yield own.encode(), copied(event, event_id("inventory", own, step), ((PRODUCT, own),))


def _outcomes(count: int, partition: int, partitions: int) -> Iterator[Message]:
    """Yield one refusal for every tenth order, and more for the first one."""
    orders = [*([0] * REFUSALS if partition == 0 else []), *range(partition * WAITING, count, partitions * WAITING)]
    for number, of in enumerate(orders):
        identifier = f"command-{partition}-{number}"
        outcome = Outcome(
            identifier, "HoldOrder", "order", order_id(of), "rejected", placed_at(number), identifier, version=1,
            code="ORDER_CANCELLED", message="The order is cancelled.",
        )  # fmt: skip
        yield order_id(of).encode(), outcome.encode()
