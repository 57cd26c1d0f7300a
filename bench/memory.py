"""Topics, tables and a worker in memory, for measuring the code between them."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from aiokafka import ConsumerRecord
from faust.types import TP
from msgspec.structs import astuple

from bench.backlog import command, place_order
from streams.kafka.partitions import partition_of
from streams.kafka.transactions import Write
from streams.kafka.transport import Fetch, Member, Part
from streams.runtime.settings import Settings
from tables.store import Entries, PartitionedTable

NOBODY = Member(0, "")
NOW = 1_790_000_000_000  # in ms
PRODUCTS = 20


class Log:
    """Topics: the written records, and the read positions."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = settings.partitions
        self._records: dict[TP, list[Any]] = defaultdict(list)
        self._read: dict[TP, int] = defaultdict(int)

    def write(self, writes: Iterable[Write]) -> None:
        """Append the records of a transaction."""
        for topic, partition, key, value, headers in map(astuple, writes):
            tp = TP(topic, partition if partition >= 0 else partition_of(key or b"", self._partitions))
            log, size = self._records[tp], len(value or b"")
            log.append(ConsumerRecord(*tp, len(log), NOW, 0, key, value, None, 10, size, tuple(headers or ())))

    def begin_again(self) -> None:
        """Start reading from the beginning again."""
        self._read.clear()

    def fetches(self, topics: list[str], size: int) -> Iterator[Fetch]:
        """Yield unread records of `topics`, `size` at a time, evenly from all partitions."""
        each = max(size // self._partitions, 1)
        while parts := {
            tp: part for tp in list(self._records) if tp.topic in topics and (part := self._next(tp, each))
        }:
            yield Fetch(0, NOBODY, parts)

    def _next(self, tp: TP, count: int) -> Part | None:
        began = self._read[tp]
        records = self._records[tp][began : began + count]
        self._read[tp] += len(records)
        return Part(began, records) if records else None


def owned(table: PartitionedTable) -> PartitionedTable:
    """Return `table`, empty, with all its partitions."""
    table.data.replace({partition: Entries(table.codec) for partition in range(table.app.settings.partitions)})
    return table


def placed(topic: str, count: int, customers: int = 1) -> Iterator[Write]:
    """Yield PlaceOrder commands of two lines as the API writes them."""
    for number in range(count):
        products = f"p-{number % PRODUCTS}", f"p-{(number + 7) % PRODUCTS}"
        key, value = place_order(str(uuid.uuid4()), *products, customer=f"c-{number % customers + 1}")
        yield Write(topic, -1, key.encode(), value)


def stocked(topic: str) -> Iterator[Write]:
    """Yield commands that receive plenty of every product."""
    for product in range(PRODUCTS):
        key, value = command(f"p-{product}", "ReceiveStock", {"quantity": 100_000_000})
        yield Write(topic, -1, key.encode(), value)
