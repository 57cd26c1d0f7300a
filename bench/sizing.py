"""A model of the workers and servers for a number of orders and a rate of commands, whose inputs are measured.

    python -m bench capacity --orders 100e6 --rate 10000 [--measured FILE] [--json]

The inputs are in bench/measured.json, which `python -m bench.capacity --write bench/measured.json` writes. The model
multiplies: it assumes that the cost of an order does not depend on how many there are, which `python -m bench growth`
and `python -m bench state` measure. Each command counts as a PlaceOrder of two lines, the most expensive one.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

from rich.console import Console
from rich.table import Table

MEASURED = Path(__file__).with_name("measured.json")
GIB = 2**30
ROLES = ("api", "orders", "inventory", "projector")
EVENT_TOPICS = ("order-events", "inventory-events")
STEPS = (8, 12, 24, 48, 96, 192, 384, 512)  # numbers of partitions that many numbers of workers divide
WEEKLY_TOPICS = ("order-commands", "inventory-commands", "command-outcomes")
DAY_SECONDS, WEEK_DAYS = 86_400, 7


@dataclass(frozen=True)
class Measured:
    """The figures of one order of two lines, and the rates of what is done to all of them."""

    how: str  # command, date and machine
    cpu_ms: Mapping[str, float]  # role, kafka or mongod → CPU of a core per order placed over HTTP
    events: float  # per order
    topic_bytes: Mapping[str, float]  # topic → bytes on a broker's disk per order, compressed, in one replica
    collection_bytes: Mapping[str, float]  # collection → bytes of its documents per order, compressed
    index_bytes: Mapping[str, float]  # collection → bytes of its indexes per order
    state_bytes: Mapping[str, float]  # role → bytes of its tables per order
    worker_bytes: float  # resident memory of the largest worker without any order
    restored: float  # table entries per second and worker, from a changelog
    replayed: float  # events per second and core into read models
    audited: float  # events per second and core

    @classmethod
    def load(cls, path: Path = MEASURED) -> "Measured":
        """Return the figures in a file."""
        return cls(**json.loads(path.read_text()))


@dataclass(frozen=True)
class Wanted:
    """The load that is planned for, and the machines."""

    orders: float  # that are ever placed
    rate: float  # commands per second, at the busiest time
    busy: float = 0.6  # the share of a core that is planned for; the rest is for bursts and failovers
    replicas: int = 3  # copies of each topic, and members of each replica set
    cores: int = 8  # each broker and each member of a replica set has this many
    memory: float = 64 * GIB  # each member of a replica set has this many bytes
    disk: float = 2_000 * GIB  # each broker and each member has this many bytes
    local_days: float = 7.0  # that brokers keep events for, if topics are tiered
    average: float = 0.01  # the average rate, as a share of the busiest
    faster: float = 1.0  # how many times as fast as the measured cores the planned ones are


@dataclass(frozen=True)
class Needs:
    """The result of the model."""

    workers: Mapping[str, int]  # role → processes, each with one core
    partitions: int
    state_bytes: float  # on the disk of each worker of `orders`
    worker_bytes: float  # resident memory of each worker, if its tables are on disk
    takeover_seconds: float  # for a worker of `orders` without local state
    brokers: int
    broker_disk: float  # bytes on each broker, if events stay there
    broker_disk_tiered: float  # bytes on each broker, if older events are in tiered storage
    remote_bytes: float  # in tiered storage
    written: float  # bytes per second that all brokers together write
    shards: int
    shard_disk: float  # bytes on each member
    shard_memory: float  # bytes of indexes that each member keeps in memory
    rebuild_seconds: float  # time to build both read models with the cores of the projector's workers
    audit_seconds: float  # with the cores of the projector's workers


def needs(measured: Measured, wanted: Wanted) -> Needs:
    """Return what is needed."""
    workers = {role: workers_of(measured.cpu_ms[role], wanted) for role in ROLES}
    partitions = partitions_for(max(workers[role] for role in ROLES if role != "api"))
    share = ceil(partitions / workers["orders"]) / partitions  # the share of the worker that has most partitions
    cores, events = workers["projector"] * wanted.faster, wanted.orders * measured.events

    every, local, rest = topic_bytes(measured, wanted)
    brokers = max(
        wanted.replicas,
        servers_of(measured.cpu_ms["kafka"], wanted),
        ceil((local + rest) / (wanted.disk * wanted.busy)),
    )
    documents = sum(measured.collection_bytes.values()) * wanted.orders
    indexes = sum(measured.index_bytes.values()) * wanted.orders
    shards = max(
        1,
        servers_of(measured.cpu_ms["mongod"], wanted),
        ceil(indexes / (wanted.memory / 2)),  # MongoDB's cache is half of the memory
        ceil((documents + indexes) / (wanted.disk * wanted.busy)),
    )
    return Needs(
        workers=workers,
        partitions=partitions,
        state_bytes=measured.state_bytes["orders"] * wanted.orders * share,
        worker_bytes=measured.worker_bytes,
        takeover_seconds=wanted.orders * share / (measured.restored * wanted.faster),
        brokers=brokers,
        broker_disk=(every + rest) / brokers,
        broker_disk_tiered=(local + rest) / brokers,
        remote_bytes=every / wanted.replicas,
        written=sum(measured.topic_bytes.values()) * wanted.rate * wanted.replicas,
        shards=shards,
        shard_disk=(documents + indexes) / shards,
        shard_memory=indexes / shards,
        rebuild_seconds=events / (measured.replayed * cores),
        audit_seconds=events / (measured.audited * cores),
    )


def topic_bytes(measured: Measured, wanted: Wanted) -> tuple[float, float, float]:
    """Return the bytes of all events, of the events on brokers if topics are tiered, and of the other topics.

    Commands and outcomes are kept for a week, and of a changelog the last value of each entry.
    """
    events = sum(measured.topic_bytes[name] for name in EVENT_TOPICS)
    others = sum(measured.topic_bytes[name] for name in WEEKLY_TOPICS)
    a_day = wanted.rate * wanted.average * DAY_SECONDS
    every = events * wanted.orders
    local = min(events * a_day * wanted.local_days, every)
    rest = others * a_day * WEEK_DAYS + sum(measured.state_bytes.values()) * wanted.orders
    return every * wanted.replicas, local * wanted.replicas, rest * wanted.replicas


def workers_of(cpu_ms: float, wanted: Wanted) -> int:
    """Return how many processes a role needs; two at least, so that one takes over from the other."""
    return max(2, ceil(wanted.rate * cpu_ms / 1000 / (wanted.busy * wanted.faster)))


def servers_of(cpu_ms: float, wanted: Wanted) -> int:
    """Return how many brokers or shards the rate needs."""
    return ceil(wanted.rate * cpu_ms / 1000 / (wanted.busy * wanted.faster * wanted.cores))


def partitions_for(workers: int) -> int:
    """Return a number of partitions with which the workers can be doubled once."""
    return next((count for count in STEPS if count >= 2 * workers), STEPS[-1])


# --- the output


def rows(measured: Measured, wanted: Wanted, found: Needs) -> Iterator[tuple[str, str, str]]:
    """Yield what is needed, how much of it, and why."""
    for role, count in found.workers.items():
        cpu = measured.cpu_ms[role]
        yield f"workers of {role}", f"{count}", f"{cpu:.2f} ms of a core per command, {wanted.busy:.0%} busy"
    yield "partitions", f"{found.partitions}", "at least two for each worker, so that their number can be doubled"
    yield "memory of a worker", _size(found.worker_bytes), "the largest one, with its tables on disk"
    yield "disk of a worker of orders", _size(found.state_bytes), "its share of the table; as much again for standbys"
    yield "takeover without local state", _time(found.takeover_seconds), f"{measured.restored:,.0f} entries/s"
    yield "brokers", f"{found.brokers}", f"{wanted.cores} cores each, {wanted.replicas} replicas"
    yield "… disk of each", _size(found.broker_disk), "if all events stay on the brokers"
    kept = f"if they keep {wanted.local_days:g} days of events"
    yield "… disk of each, tiered", _size(found.broker_disk_tiered), kept
    yield "… tiered storage", _size(found.remote_bytes), "one copy of all events"
    yield "… written at the busiest time", f"{_size(found.written)}/s", "by all brokers together"
    yield "MongoDB shards", f"{found.shards}", f"replica sets of {wanted.replicas}, {wanted.cores} cores each"
    yield "… disk of each member", _size(found.shard_disk), "documents and indexes"
    yield "… indexes of each member", _size(found.shard_memory), "to be kept in half of its memory"
    cores = f"{measured.events:.1f} events per order, {found.workers['projector']} cores"
    yield "rebuild of the read models", _time(found.rebuild_seconds), cores
    yield "audit", _time(found.audit_seconds), cores


def _size(count: float) -> str:
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 2**10:,.1f} KiB"


def _time(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.1f} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is needed."""
    parser = argparse.ArgumentParser(prog="bench capacity", description=__doc__)
    parser.add_argument("--orders", type=float, required=True, help="orders ever placed, such as 100e6")
    parser.add_argument("--rate", type=float, required=True, help="commands per second at the busiest time")
    for name, field in Wanted.__dataclass_fields__.items():
        if name not in ("orders", "rate"):
            kind = int if field.type == "int" else float
            parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=field.default)
    parser.add_argument("--measured", type=Path, default=MEASURED, help="figures to use (default: %(default)s)")
    parser.add_argument("--json", action="store_true")
    given = vars(parser.parse_args(arguments))
    measured, as_json = Measured.load(given.pop("measured")), given.pop("json")
    wanted = Wanted(**given)
    found = needs(measured, wanted)
    if as_json:
        print(json.dumps(asdict(found)))
        return 0
    title = f"{wanted.orders:,.0f} orders, {wanted.rate:,.0f} commands/s at the busiest time"
    table = Table("what", "how much", "why", title=title, title_justify="left", caption=f"measured by {measured.how}")
    for row in rows(measured, wanted, found):
        table.add_row(*row)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
