"""Rebuild the changelogs of the workers' tables from the event topics.

A changelog is deleted, created, and filled partition by partition. The positions are written last, in every partition:
a worker refuses to start if its group has committed an offset and the position is missing. After an interruption, no
worker can use an incomplete table, and the rebuild is run again.

Memory is needed for the aggregates of one partition and their entries, and for the answers and letters of all.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from confluent_kafka import KafkaException, Producer
from faust.types import TP

from ops.audit.history import Aggregate, Histories
from ops.audit.report import Report
from ops.errors import CommandFailed, Unavailable
from ops.kafka import records
from ops.kafka.adopt import READERS, Reader
from ops.progress import ShowProgress, silent
from ops.replay.memory import Answers, CustomerKeys, DeadLetters, Unsure, outcomes
from projections.inventory import ProductView
from projections.orders import OrderView
from projections.projection import Projection
from projections.reservations import ReservationView
from projections.table import INVENTORY, ORDERS
from streams.kafka.clients import librdkafka_config
from streams.kafka.transactions import committed_offsets
from streams.keys import position_key, segment
from streams.messages.codec import event_in
from streams.messages.envelope import Aggregate as Kind
from streams.messages.envelope import instant_of
from streams.runtime.settings import Settings
from streams.topic_setup import ensure_topics
from streams.topics import COMMAND_OUTCOMES, Topic, admin, find, topic_ids
from streams.wording import counted
from tables.entries import Position
from tables.orders import ArchivedEntry, OrderEntry
from tables.restore import restore
from tables.stock import QueuePlace, StockEntry
from tables.store import Changes, Entries
from tables.timers import TIMER, timer_key

GONE_SECONDS, FLUSH_SECONDS = 30.0, 120.0
PRODUCER = {
    "enable.idempotence": True,
    "linger.ms": 20,
    "compression.type": "lz4",
    "message.max.bytes": 32 << 20,
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 64 << 10,  # the default is 1 GiB
}
AGGREGATES: dict[str, tuple[Kind, Projection]] = {"orders": ("order", ORDERS), "inventory": ("inventory", INVENTORY)}


class Unfoldable(CommandFailed):
    """The events of an aggregate have a gap."""


async def rebuild_tables(settings: Settings, progress: ShowProgress = silent, *, imported: bool = False) -> list[str]:
    """Rebuild the changelogs of all tables; return a sentence for each, and one about what is not rebuilt.

    `imported`: no message on the topics has been handled since they were created.
    """
    return await Rebuilding(settings, progress, imported).run()


@dataclass
class Rebuilding:
    """A rebuild of all tables."""

    settings: Settings
    progress: ShowProgress = silent
    imported: bool = False
    answers: Answers = field(init=False)
    letters: DeadLetters = field(init=False)
    keys: CustomerKeys = field(init=False)
    times: dict[tuple[Kind, str], str] = field(default_factory=dict)  # aggregate → time of its last event
    offsets: dict[str, list[int]] = field(default_factory=dict)  # order → those of its events, for archived orders

    def __post_init__(self) -> None:
        self.answers = Answers(self.settings.recent_commands)

    async def run(self) -> list[str]:
        """Gather everything, then write."""
        ids = await topic_ids(self.settings)
        positions = {reader.role: await self._positions(reader, ids) for reader in READERS}
        await asyncio.to_thread(outcomes, self.settings, self.answers)
        self.letters = await asyncio.to_thread(DeadLetters.read, self.settings)
        self.keys = await asyncio.to_thread(CustomerKeys.read, self.settings)
        rebuilt = [await self._rebuild(reader, positions[reader.role]) for reader in READERS]
        return [
            *rebuilt,
            "Not rebuilt: rejections older than the outcomes (kept for a week), letters older than dead-letters (kept "
            "for 30 days), and the number of failed retries since a letter was last recorded.",
        ]

    # --- positions

    async def _positions(self, reader: Reader, ids: Mapping[str, str]) -> dict[int, dict[bytes, Position]]:
        """Return the position in each input, from committed offsets, the old changelog, and the results of messages.

        After an import there are no positions: the commands on the topics have not been decided, although one of them
        may have the id of a command that was decided before the export.
        """
        if self.imported:
            return {}
        inputs = {TP(self._name(topic), n) for topic in reader.inputs for n in range(self.settings.partitions)}
        committed = await committed_offsets(self.settings, self.settings.named(reader.role), inputs)
        before = await self._before(reader, ids)
        found: dict[int, dict[bytes, Position]] = defaultdict(dict)
        for topic in reader.inputs:
            name = self._name(topic)
            reached = {n: committed[TP(name, n)] for n in range(self.settings.partitions)}
            traces = await asyncio.to_thread(self._traces, reader, topic, reached)
            for number, offset in reached.items():
                key = position_key(name)
                known: Any = before[number].get(key) if number in before else None
                ours = known.offset if known is not None and known.topic_id == ids.get(name) else -1
                highest = max(offset - 1, ours, traces.get(number, -1))
                if highest >= 0:  # an unknown position is harmless: commands are then sent again, which changes nothing
                    found[number][key] = Position(highest, ids[name], fulfils=ours >= 0 and known.fulfils)
        return found

    async def _before(self, reader: Reader, ids: Mapping[str, str]) -> Mapping[int, Entries[Any]]:
        changelog = self._name(reader.changelog)
        if changelog not in ids:
            return {}
        lost: dict[int, str] = {}  # unreadable partitions are ignored here: they are the reason for the rebuild
        return await restore(self.settings, changelog, range(self.settings.partitions), reader.codec, lost)

    def _traces(self, reader: Reader, topic: Topic, reached: Mapping[int, int]) -> dict[int, int]:
        """Return the highest offset after the committed one of a message that has an event, outcome or command."""
        unsure = Unsure.read(self.settings, topic, reached)
        if unsure.ids:
            for source in (AGGREGATES[reader.role][1].topic, COMMAND_OUTCOMES):
                for record in records.read_all(self.settings, source.name):
                    unsure.left(_causation(record))
        return unsure.handled

    # --- one table

    async def _rebuild(self, reader: Reader, positions: Mapping[int, Mapping[bytes, Position]]) -> str:
        began, count = time.monotonic(), 0
        await asyncio.to_thread(self._recreate, reader.changelog)
        producer = Producer(librdkafka_config(self.settings) | PRODUCER)
        changelog = self._name(reader.changelog)
        for number, entries in await asyncio.to_thread(lambda: self._partitions(reader, positions)):
            for key, value in entries:
                self._produce(producer, changelog, number, key, value)
                count += 1
        self._flush(producer, changelog)
        for number, found in positions.items():
            for key, position in found.items():
                self._produce(producer, changelog, number, key, reader.codec.encode(position))
                count += 1
        self._flush(producer, changelog)
        return f"{changelog}: {counted(count, 'entry', 'entries')} written in {time.monotonic() - began:.1f} s"

    def _recreate(self, changelog: Topic) -> None:
        client, name = admin(self.settings), self._name(changelog)
        if find(client, [name]):
            client.delete_topics([name], operation_timeout=20)[name].result(30)
        until = time.monotonic() + GONE_SECONDS
        while find(client, [name]):
            if time.monotonic() > until:
                raise Unavailable(f"Kafka has not deleted {name} after {GONE_SECONDS:.0f} s: run the command again.")
            time.sleep(0.1)
        while not find(client, [name]):
            try:
                asyncio.run(ensure_topics(self.settings))
            except KafkaException:  # the old topic is still being deleted
                if time.monotonic() > until:
                    raise
            time.sleep(0.1)

    def _produce(self, producer: Any, topic: str, number: int, key: bytes, value: bytes) -> None:
        while True:
            try:
                producer.produce(topic, value, key, number, on_delivery=self._delivered)
                producer.poll(0)
                return
            except BufferError:
                producer.poll(0.1)

    def _delivered(self, error: Any, _: Any) -> None:
        if error is not None:
            raise Unavailable(f"Kafka did not accept an entry: {error}. Run the command again.")

    def _flush(self, producer: Any, changelog: str) -> None:
        if producer.flush(FLUSH_SECONDS):
            raise Unavailable(
                f"Kafka at {self.settings.kafka} did not accept all of {changelog}: run the command again."
            )

    def _name(self, topic: Topic) -> str:
        return self.settings.named(topic.name)

    # --- entries

    def _partitions(
        self, reader: Reader, positions: Mapping[int, Mapping[bytes, Position]]
    ) -> Iterator[tuple[int, list[tuple[bytes, bytes]]]]:
        """Yield the entries of each partition, without its positions."""
        aggregate, projection = AGGREGATES[reader.role]
        begins = records.begins(self.settings, projection.topic.name)
        ends = records.ends(self.settings, projection.topic.name)
        with self.progress(reader.changelog.name, sum(ends.values()) - sum(begins.values())) as advance:
            for number, end in ends.items():
                entries = self._encoded(reader, self._folded(reader.role, number, begins[number], end))
                for kept in (self.letters, self.keys):
                    entries += kept.entries(aggregate, number, reader.codec).items()
                advance(end - begins[number])
                yield number, entries

    def _folded(self, role: str, number: int, begin: int, end: int) -> list[Aggregate]:
        """Return a partition's aggregates, and remember what caused their events."""
        aggregate, projection = AGGREGATES[role]
        self.offsets.clear()
        histories = Histories(projection, number, self.settings.partitions, report := Report())
        with records.Log(self.settings, projection.topic.name, {number: begin}) as log:
            for batch in log.upto({number: end}):
                for record in batch:
                    if (message := event_in(record.value)) is None:
                        continue  # a missing event would leave a gap, which is checked below
                    histories.apply(message, record.offset)
                    self.answers.add_event(aggregate, message.key, message)
                    if aggregate == "order":
                        self.offsets.setdefault(message.key, []).append(record.offset)
                    # older events have the time of their producer's clock; no event is written before it happens
                    self.times[aggregate, message.key] = min(message.time, instant_of(record.timestamp / 1000))
        if broken := [drift for drift in report.drifts if histories.aggregates[drift.key].broken]:
            raise Unfoldable(f"The events of {broken[0].key} have a gap ({broken[0].what}): run `fulfillment audit`.")
        self.answers.end_events()
        return list(histories.aggregates.values())

    def _encoded(self, reader: Reader, aggregates: list[Aggregate]) -> list[tuple[bytes, bytes]]:
        changes: Changes[Any] = Changes(Entries(reader.codec))
        for aggregate in aggregates:
            (self._put_order if reader.role == "orders" else self._put_product)(changes, aggregate)
        return [(key, value) for key, value in changes.encode() if value is not None]

    def _put_order(self, changes: Changes[Any], order: Aggregate) -> None:
        view = cast(OrderView, order.view("orders", order.key))
        recent, time = self.answers.recent("order", order.key), self.times["order", order.key]
        entry: Any = OrderEntry(view.order, order.version, recent, time)
        if view.archived_at is not None:
            entry = ArchivedEntry.of(self.offsets[order.key][:-1], order.version, time)
        changes.put(segment(order.key), entry)
        self._put_timer(changes, segment(order.key))

    @staticmethod
    def _put_timer(changes: Changes[Any], key: bytes) -> None:
        """Set the timer of an entry: deadlines that were acted on are events, so no timer acts twice."""
        if (due := changes.due(key)) is not None:
            changes.put(timer_key(due, key), TIMER)

    def _put_product(self, changes: Changes[Any], product: Aggregate) -> None:
        view = cast(ProductView, product.view("inventory", product.key))
        name, recent = segment(product.key), self.answers.recent("inventory", product.key)
        changes.put(name, StockEntry(view.stock, product.version, recent, self.times["inventory", product.key]))
        for each in cast(dict[str, ReservationView], product.views.get("reservations", {})).values():
            line = each.reservation
            key = b"%b/%b/%b" % (name, segment(line.order_id), segment(line.line_id))
            changes.put(key, line)
            self._put_timer(changes, key)
            if line.waiting and line.place is not None:
                changes.put(b"%b//%d" % (name, line.place), QueuePlace(line.order_id, line.line_id))


def _causation(record: Any) -> str:
    try:
        envelope = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return ""
    return str(envelope.get("causationid", "")) if isinstance(envelope, dict) else ""
