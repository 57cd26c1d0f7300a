"""Measures a table on disk with millions of orders: memory, restart, takeover, decisions, disk space.

    python -m bench state [--orders N] [--partitions N] [--commands N] [--write docs/benchmarks/state.md]

The changelog of the orders table is filled with allocated orders of two lines as the service writes them, each with ids
of its own. A worker without a local copy restores them, and has time to sort them; then it decides new orders, changes
orders that it has just decided, and changes orders drawn uniformly from all. A worker with an empty table does the
same, in turns. Finally the worker is killed under load and started again.
"""

import argparse
import hashlib
import random
import re
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from confluent_kafka import Producer

from agents.deciding import Deciding
from agents.orders import ORDER
from bench.arena import Arena, agent
from bench.backlog import Message, Sender, command, place_order
from bench.machine import machine
from bench.memory import Log, owned
from bench.stacks import Stacks, cpu_seconds
from streams.kafka.clients import librdkafka_config
from streams.kafka.partitions import partition_of
from streams.kafka.transactions import ANY_PARTITION, Write
from streams.runtime.app import create_app
from streams.runtime.settings import Settings
from streams.topics import ORDER_COMMANDS, ORDER_STATES
from tables.orders import orders_table

MILLION = 1_000_000
MEMORY_BOUND, RESTART_BOUND, RATE_BOUND = 512, 5.0, 0.9  # MiB; seconds; times the rate of an empty table
UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
CUSTOMERS = 200_000
RESTORED = re.compile(r"restored (\d+) entries of \S+, \d+ partitions, in ([\d.]+) s")
READY_SECONDS = 3600.0
IDLE_CPU = 0.2  # CPU seconds in two


class Row(NamedTuple):
    """A figure; `bound` is what it should be."""

    what: str
    figure: str
    bound: str = ""


def main(arguments: list[str]) -> int:
    """Measure, print each figure when it is known, and write the page if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench state", description=__doc__)
    parser.add_argument("--orders", type=int, default=10 * MILLION, help="in the table before anything is measured")
    parser.add_argument("--commands", type=int, default=20_000, help="decided in each measurement of a rate")
    parser.add_argument("--rounds", type=int, default=3, help="how often rates are measured")
    parser.add_argument("--write", type=Path, help="also write the figures to this file as Markdown")
    given = parser.parse_args(arguments)
    rows = []
    with (
        Stacks() as stacks,
        Arena(stacks.servers, agent("orders")) as full,
        Arena(stacks.servers, agent("orders")) as empty,
    ):
        for row in Measurement(full, empty, given.orders, given.commands, given.rounds).run():
            print(f"{row.what:<66} {row.figure:>20}  {row.bound}", flush=True)
            rows.append(row)
    if given.write:
        given.write.write_text(page(rows, given.orders))
    return 0


def page(rows: Iterable[Row], orders: int) -> str:
    """Return the figures as a page."""
    lines = [f"| {row.what} | {row.figure} | {row.bound} |" for row in rows]
    return "\n".join([
        "# Tables on disk", "",
        f"Measured by `python -m bench state --orders {orders} --write docs/benchmarks/state.md` on",
        f"{machine()}.",
        "Load, broker and worker share the cores. The method is in the docstring of `bench/state.py`, the design in",
        "[ADR 57](../adr/0057-keep-tables-in-rocksdb.md).", "",
        "| | measured | bound |", "|---|---:|---:|", *lines, "",
    ])  # fmt: skip


class Measurement:
    """Measures a worker with `orders` in its table, and one without."""

    def __init__(self, full: Arena, empty: Arena, orders: int, commands: int, rounds: int) -> None:
        self.full, self.empty, self.orders, self.commands, self.rounds = full, empty, orders, commands, rounds

    def run(self) -> Iterator[Row]:
        """Yield all figures."""
        yield from self._fill()
        yield from self._take_over()
        yield from self._decide()
        yield from self._restart()
        size = sum(file.stat().st_blocks * 512 for file in self._state.rglob("*") if file.is_file())
        yield Row("disk of the local copy per million orders", f"{size / self.orders * MILLION / 2**20:,.0f} MiB")
        peak = self.full.peak_bytes / 2**20
        yield Row("memory of the worker, at most", f"{peak:,.0f} MiB", f"≤ {MEMORY_BOUND} MiB")

    @property
    def _state(self) -> Path:
        settings = self.full.settings
        return settings.data / "state" / settings.named("orders")

    def _fill(self) -> Iterator[Row]:
        began = time.monotonic()
        size = fill(self.full.settings, self.orders)
        seconds = time.monotonic() - began
        yield Row("orders written to the changelog", f"{self.orders:,}")
        yield Row("size of an entry", f"{size / self.orders:,.0f} B")
        print(f"(generated at {self.orders / seconds:,.0f} orders/s)", file=sys.stderr)

    def _take_over(self) -> Iterator[Row]:
        with self.full.running() as workers:
            seconds = ready_after(self.full)
            (entries, restored), *_ = RESTORED.findall(self.full.log())
            sorting = idle_after(workers[0])
        assert int(entries) == self.orders, f"{entries} of {self.orders} orders were restored"
        yield Row("takeover without a local copy, until ready", f"{seconds:.1f} s")
        yield Row("entries restored from the changelog", f"{int(entries) / float(restored):,.0f}/s")
        yield Row("… until RocksDB has sorted them, besides other work", f"{sorting:.0f} s")

    def _restart(self) -> Iterator[Row]:
        """Kill the worker while it decides, and start it again."""
        Sender(self.full.settings).send(ORDER_COMMANDS.name, self._new())
        with self.full.running() as workers:
            ready_after(self.full)
            time.sleep(0.5)  # in the middle of its work
            workers[0].kill()
        with self.full.running():
            seconds = ready_after(self.full)
            (entries, _), *_ = RESTORED.findall(self.full.log())
        yield Row("kill -9 → ready again", f"{seconds:.1f} s", f"≤ {RESTART_BOUND:.0f} s")
        yield Row("records read from the changelog then", f"{int(entries):,}")

    def _decide(self) -> Iterator[Row]:
        rates: dict[str, list[float]] = {}
        for number in range(self.rounds):
            for name, arena in (("full", self.full), ("empty", self.empty)):
                new = self._new()
                rates.setdefault(f"{name} new", []).append(arena.work_off(new).second)
                recent = [command(key, "Hold", {"reason": "check"}) for key, _ in new]
                rates.setdefault(f"{name} recent", []).append(arena.work_off(recent).second)
            drawn = random.Random(number).sample(range(self.orders), min(self.commands, self.orders))
            # One hold whose reason changes in each round, because the same reason again changes nothing.
            again = [
                command(order_id(each), "Hold", {"holdId": "check", "reason": f"check {number}"}) for each in drawn
            ]
            rates.setdefault("full old", []).append(self.full.work_off(again).second)
        median = {name: sorted(found)[len(found) // 2] for name, found in rates.items()}
        for name, what in (("new", "new orders decided"), ("recent", "recent orders changed")):
            ratio = median[f"full {name}"] / median[f"empty {name}"]
            yield Row(what, f"{median[f'full {name}']:,.0f}/s")
            yield Row(f"{what}, times the rate of an empty table", f"{ratio:.2f} ×", f"≥ {RATE_BOUND} ×")
        yield Row("old orders changed, drawn uniformly", f"{median['full old']:,.0f}/s")
        ratio = median["full old"] / median["empty recent"]
        yield Row("old orders changed, times the rate of an empty table", f"{ratio:.2f} ×")

    def _new(self) -> list[Message]:
        return [place_order(order_id(-1), "p-1", "p-2") for _ in range(self.commands)]


def order_id(number: int) -> str:
    """Return the id of a generated order; a new one if the number is negative."""
    generated = number >= 0
    raw = hashlib.blake2b(b"%d" % number, digest_size=16).hexdigest() if generated else random.randbytes(16).hex()
    return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"


def fill(settings: Settings, orders: int) -> int:
    """Write the entries of orders to the changelog; return their size in bytes."""
    parts, size, told = entry_parts(settings), 0, time.monotonic()
    producer = Producer(
        librdkafka_config(settings)
        | {"linger.ms": 50, "compression.type": "lz4", "queue.buffering.max.kbytes": 256 << 10}
    )
    topic = settings.named(ORDER_STATES.name)
    for number in range(orders):
        key = order_id(number).encode()
        value = entry(parts, number)
        size += len(value)
        at = partition_of(key, settings.partitions)
        while True:
            try:
                producer.produce(topic, value, key, at)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"({number:,} of {orders:,} orders written)", file=sys.stderr, flush=True)
    assert producer.flush(300) == 0
    return size


def entry_parts(settings: Settings) -> list[bytes]:
    """Return the entry of an allocated order as the service writes it, cut where its ids are."""
    topic, changelog = settings.named(ORDER_COMMANDS.name), settings.named(ORDER_STATES.name)
    key, place = place_order(order_id(-1), "p-1", "p-2")
    reserved = {"reserved": 1, "backordered": 0, "rejected": 0, "reason": None, "stockVersion": 9}
    told = [command(key, "RecordAllocation", {"lineId": line, **reserved})[1] for line in ("1", "2")]
    deciding = Deciding(settings, ORDER, owned(orders_table(create_app("orders", settings))), {topic: "id"})
    log = Log(settings)
    log.write(Write(topic, ANY_PARTITION, key.encode(), value) for value in (place, *told))
    decided = deciding.decide(next(log.fetches([topic], 3 * settings.partitions)))
    (value,) = [write.value for write in decided.writes if (write.topic, write.key) == (changelog, key.encode())]
    assert value is not None
    assert value.count(b'"command_id"') == 1 + len(told), "not all commands were accepted"
    return UUID.split(value)


def entry(parts: list[bytes], number: int) -> bytes:
    """Return an entry with ids of its own and one of many customers."""
    whole = b"".join(part + order_id(-1).encode() for part in parts[:-1]) + parts[-1]
    return whole.replace(b'"c-1"', b'"c-%d"' % (number % CUSTOMERS))


def idle_after(worker: psutil.Process) -> float:
    """Return how long a worker that has nothing to do keeps using the CPU: RocksDB sorts what was restored."""
    began, used = time.monotonic(), cpu_seconds(worker)
    while True:
        time.sleep(2)
        before, used = used, cpu_seconds(worker)
        if used - before < IDLE_CPU:
            return time.monotonic() - began - 2


def ready_after(arena: Arena) -> float:
    """Return how long a worker that was just started takes until it is ready."""
    began = time.monotonic()
    while time.monotonic() - began < READY_SECONDS:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{arena.ports[0]}/readyz", timeout=5):
            return time.monotonic() - began
        time.sleep(0.05)
    raise AssertionError(f"the worker was not ready after {READY_SECONDS:.0f} s: {arena.log()}")
