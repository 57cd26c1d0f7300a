"""Measure what orders need in memory and on disk, and how long their export and import take, to plan capacity.

    python -m bench.capacity [--orders N] [--partitions N]

Orders of two lines are placed and allocated, and stay open. Memory is what each role's process has grown by; on disk,
it is what the topics have grown by. The installation is exported, imported under another prefix on the same servers,
started there and audited, as docs/how-to/back-up-and-restore.md describes. None of it depends on the speed of the
machine, except the durations.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from bench.flow import place
from bench.stacks import Install, Stacks
from ops.kafka import records
from streams.topics import INVENTORY_EVENTS, ORDER_EVENTS, TOPICS

HUNDRED_THOUSAND, MILLION = 100_000, 1_000_000
PORTION = 25_000  # orders placed at a time
WARM_UP = 1_000  # orders
EVENTS = (ORDER_EVENTS, INVENTORY_EVENTS)
Row = tuple[str, str]


def main() -> None:
    """Measure, and print each figure when it is known."""
    options = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    options.add_argument("--orders", type=int, default=HUNDRED_THOUSAND)
    options.add_argument("--partitions", type=int, default=8)
    given = options.parse_args()
    with Stacks() as stacks, TemporaryDirectory(prefix="bench-") as folder:
        servers, here = stacks.servers, Path(folder)
        partitions = str(given.partitions)
        original = started(Install(here / "original", "original", servers, FULFILLMENT_PARTITIONS=partitions))
        copy = Install(here / "copy", "copy", servers, FULFILLMENT_PARTITIONS=partitions)
        copy.settings = copy.settings.model_copy(update={"partitions": given.partitions})
        print(f"{given.orders:,} orders of 2 lines, {given.partitions} partitions")
        try:
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


if __name__ == "__main__":
    main()
