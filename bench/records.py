"""CPU time per changelog record of a restore, by step, without Kafka.

    python -m bench.records

The figure is the minimum of many short rounds: on a shared machine, everything above it is the load of other processes.
"""

import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from faust.types import TP

from bench.backlog import place_order
from streams.kafka.batches import Producer, Write, requests
from streams.kafka.library_patches import Fetched, TolerantRecords
from tables.restore import changes_in

TRANSACTIONS, ENTRIES, ROUNDS = 200, 60, 20  # entries: in one transaction and partition


def main() -> None:
    """Print µs per record of each step."""
    fetched = b"".join(_batches())
    records = _records(fetched)
    assert len(records) == TRANSACTIONS * ENTRIES
    _show("check the sum of each batch", lambda: _check(fetched))
    _show("aiokafka: bytes → records, with the check", lambda: _records(fetched))
    _show("table: records → entries", lambda: changes_in(records))


def _batches() -> Iterator[bytes]:
    """Yield the batches of a changelog partition; each entry is about as large as an order."""
    at = TP("changelog", 0)
    for number in range(TRANSACTIONS):
        entries = [place_order(f"{number}-{each}", "p-1", "p-2") for each in range(ENTRIES)]
        writes = [Write(at.topic, at.partition, key.encode(), value) for key, value in entries]
        for request in requests(writes, {at.topic: 1}, Producer(1, 0)):
            batch = request[at]
            struct.pack_into(">q", batch, 0, number * ENTRIES)  # the offset that the broker gives it
            yield bytes(batch)


def _check(fetched: bytes) -> None:
    batches = Fetched(fetched).memory
    while batches.has_next():
        assert batches.next_batch().validate_crc()


def _records(fetched: bytes) -> list[Any]:
    at, options = TopicPartition("changelog", 0), (None, None, True, READ_COMMITTED)
    return list(TolerantRecords(at, Fetched(fetched), [], 0, *options))


def _show(step: str, run: Callable[[], Any]) -> None:
    least = min(_seconds(run) for _ in range(ROUNDS))
    print(f"{step:44} {1e6 * least / (TRANSACTIONS * ENTRIES):5.2f} µs a record")


def _seconds(run: Callable[[], Any]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


if __name__ == "__main__":
    main()
