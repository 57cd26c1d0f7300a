"""Measure what orders need in memory and on disk, and how long their export and import take, to plan capacity.

    python -m bench.capacity [--orders N] [--partitions N] [--write FILE]

Orders of two lines are placed and allocated, and stay open. Memory is what each role's process has grown by; on disk,
it is what the topics have grown by. The installation is exported, imported under another prefix on the same servers,
started there and audited, as docs/how-to/back-up-and-restore.md describes. None of it depends on the speed of the
machine, except the durations.

With `--write`, the figures of one order are written to a file, from which `python -m bench capacity` calculates what
any number of orders needs; the exercise is left out.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop
from pymongo import MongoClient

from bench.flow import place
from bench.http import place_orders
from bench.machine import machine
from bench.recovery import last_restore
from bench.stacks import STORES, Install, Spent, Stacks
from ops.kafka import records
from ops.stack.logs import log_of
from streams.topics import INVENTORY_EVENTS, ORDER_EVENTS, TOPICS, Topic

HUNDRED_THOUSAND, MILLION = 100_000, 1_000_000
PORTION = 25_000  # orders placed at a time
WARM_UP = 1_000  # orders
EVENTS = (ORDER_EVENTS, INVENTORY_EVENTS)
TOPIC_NAMES = frozenset(topic.name for topic in TOPICS)
WORKERS, TABLE_ROLES = ("api", "orders", "inventory", "projector"), ("orders", "inventory")
Row = tuple[str, str]


def main() -> None:
    """Measure, and print each figure when it is known."""
    options = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    options.add_argument("--orders", type=int, default=HUNDRED_THOUSAND)
    options.add_argument("--partitions", type=int, default=8)
    options.add_argument("--write", type=Path, metavar="FILE", help="write the figures of one order")
    given = options.parse_args()
    with Stacks() as stacks, TemporaryDirectory(prefix="bench-") as folder:
        servers, here = stacks.servers, Path(folder)
        partitions = str(given.partitions)
        original = started(Install(here / "original", "original", servers, FULFILLMENT_PARTITIONS=partitions))
        copy = Install(here / "copy", "copy", servers, FULFILLMENT_PARTITIONS=partitions)
        copy.settings = copy.settings.model_copy(update={"partitions": given.partitions})
        print(f"{given.orders:,} orders of 2 lines, {given.partitions} partitions")
        try:
            if given.write:
                found = {"how": how(given.orders, given.write), **one_order(original, given.orders)}
                given.write.write_text(json.dumps(found, indent=1) + "\n")
                return
            for what, figure in chain(growth(original, given.orders), restoring(original, copy, here / "archive")):
                print(f"{what:<60} {figure:>24}", flush=True)
        finally:
            original.down()
            copy.down()


def started(install: Install) -> Install:
    """Return the installation, with everything ready and warm."""
    install.up()
    uvloop.run(place(install, WARM_UP))
    install.quiet()
    return install


def growth(install: Install, orders: int) -> Iterator[Row]:
    """Yield what `orders` need in memory and on disk."""
    memory, events, disk = resident(install), sum(count_events(install)), sizes(install)
    for count in portions(orders):
        uvloop.run(place(install, count))
    install.quiet()
    for role, grown in resident(install).items():
        used = (grown - memory[role]) / orders * HUNDRED_THOUSAND / 2**20
        yield f"memory of {role} per 100,000 open orders", f"{used:,.0f} MiB"
    added = sum(count_events(install)) - events
    yield "events per order", f"{added / orders:.2f}"
    for topic, size in sizes(install).items():
        share = (size - disk[topic]) / added * MILLION / 2**20
        yield f"disk of {topic} per million events", f"{share:,.0f} MiB"


def portions(orders: int) -> Iterator[int]:
    """Yield numbers of orders that are placed together."""
    while orders > 0:
        yield min(orders, PORTION)
        orders -= PORTION


def resident(install: Install) -> dict[str, int]:
    """Return the memory of each role, of Kafka and of MongoDB, in bytes."""
    return {role: process.memory_info().rss for role, process in install.processes()}


def count_events(install: Install) -> Iterator[int]:
    """Yield the number of events on each event topic."""
    for topic in EVENTS:
        yield sum(1 for _ in records.read_all(install.settings, topic.name))


def sizes(install: Install) -> dict[str, int]:
    """Return the bytes of each topic on the broker's disk, and of MongoDB's files."""
    assert install.servers is not None
    data = install.servers.settings.data
    found = {
        topic.name: sum(
            file.stat().st_blocks * 512
            for file in (data / "kafka" / "data").glob(f"{install.settings.named(topic.name)}-*/*.log")
        )
        for topic in TOPICS
    }
    return found | {"MongoDB": sum(file.stat().st_blocks * 512 for file in (data / "mongo").rglob("*.wt"))}


def restoring(original: Install, copy: Install, archive: Path) -> Iterator[Row]:
    """Yield how long each step of the backup and restore exercise takes."""
    yield timed("export", lambda: original.run("export", str(archive)))
    size = sum(file.stat().st_size for file in archive.iterdir())
    yield "size of the archive", f"{size / 2**20:,.1f} MiB"
    yield timed("import", lambda: copy.run("import", str(archive)))

    def start() -> None:
        copy.up()
        copy.quiet()

    yield timed("start of the copy, until all read models are built", start)
    yield timed("audit of the copy, clean", lambda: copy.run("audit"))


def timed(what: str, run: Callable[[], object]) -> Row:
    """Return how long something takes."""
    began = time.monotonic()
    run()
    return what, f"{time.monotonic() - began:.1f} s"


# --- the figures of one order, for `bench.sizing`


def one_order(install: Install, orders: int) -> dict[str, Any]:
    """Return the fields of `bench.sizing.Measured`, except how they were measured."""
    events, disk, stored = sum(count_events(install)), sizes(install), collections(install)
    placed = max(orders // 10, 1)
    http = uvloop.run(place_orders(install, placed, 128)).used.cpu
    for count in portions(orders - placed):
        uvloop.run(place(install, count))
    install.quiet()
    added, resident_bytes = sum(count_events(install)) - events, resident(install)
    topics = {name: (size - disk[name]) / orders for name, size in sizes(install).items() if name in TOPIC_NAMES}
    documents, indexes = (
        {name: (size - before.get(name, 0)) / orders for name, size in after.items()}
        for after, before in zip(collections(install), stored, strict=True)
    )
    return {
        "cpu_ms": {role: round(1000 * http[role] / placed, 3) for role in (*WORKERS, "kafka", "mongod")},
        "events": round(added / orders, 2),
        "topic_bytes": rounded(topics),
        "collection_bytes": rounded(documents),
        "index_bytes": rounded(indexes),
        "worker_bytes": max(resident_bytes[role] for role in WORKERS),
        "replayed": round(by_core(install, "replay", "orders") * count_of(install, ORDER_EVENTS)),
        "audited": round(by_core(install, "audit") * sum(count_events(install))),
        "state_bytes": rounded({role: size / install.placed for role, size in states_when_stopped(install).items()}),
        "restored": round(restored_again(install)),
    }


def how(orders: int, file: Path) -> str:
    """Return the command that measures them, the date and the machine."""
    command = f"python -m bench.capacity --orders {orders} --write {file}"
    return f"{command}, {datetime.now(UTC):%Y-%m-%d}, {machine()}"


def rounded(sizes: Mapping[str, float]) -> dict[str, int]:
    """Return sizes in whole bytes."""
    return {name: round(size) for name, size in sizes.items()}


def count_of(install: Install, topic: Topic) -> int:
    """Return the number of events on a topic."""
    return sum(1 for _ in records.read_all(install.settings, topic.name))


def by_core(install: Install, *command: str) -> float:
    """Return how often a second of a core is enough for a command, with what the stores do for it."""
    spent, before = Spent(install), os.times()
    install.run(*command)
    after, used = os.times(), spent.used().cpu
    own = after.children_user + after.children_system - before.children_user - before.children_system
    return 1 / (own + sum(used[store] for store in STORES))


def collections(install: Install) -> tuple[dict[str, int], dict[str, int]]:
    """Return the bytes of each collection's documents, and of its indexes, in MongoDB's files."""
    with MongoClient[dict[str, Any]](install.settings.mongo) as client:
        client.admin.command("fsync")
        database = client[install.settings.named(install.settings.database)]
        stats = {name: database.command("collStats", name) for name in database.list_collection_names()}
    documents = {name: int(each["storageSize"]) for name, each in stats.items()}
    return documents, {name: int(each["totalIndexSize"]) for name, each in stats.items()}


def states_when_stopped(install: Install) -> dict[str, int]:
    """Stop the installation; return the bytes of each role's tables on disk."""
    install.down()
    folders = {role: install.settings.data / "state" / install.settings.named(role) for role in TABLE_ROLES}
    return {
        role: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        for role, folder in folders.items()
    }


def restored_again(install: Install) -> float:
    """Start the installation without its tables; return the entries per second that its worker of orders restores."""
    shutil.rmtree(install.settings.data / "state", ignore_errors=True)
    install.up()
    install.quiet()
    found = last_restore(log_of(install.settings.data, "orders-0").read_text())
    return found.entries / max(found.seconds, 0.01)


if __name__ == "__main__":
    main()
