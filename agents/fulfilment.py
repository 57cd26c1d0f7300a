"""The fulfilment agent: the process manager between orders and stock."""

from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

from aiokafka import ConsumerRecord
from faust.types import TP

from domain import fulfilment
from parking.entries import Skipped, skipped_key
from streams.kafka.received import Coordinates, coordinates
from streams.kafka.transactions import Write
from streams.kafka.transport import Fetch, Offsets, Part
from streams.messages.codec import Envelope, open_envelope
from streams.runtime import faults
from streams.runtime.app import RoleApp
from streams.runtime.settings import Settings
from streams.tracing import traces
from tables.entries import Position, position_key
from tables.positions import positions_table
from tables.store import PartitionedTable

from .decided import Decided, Stop
from .portions import Refusal, Resort
from .process_manager import ProcessManager
from .traces import managing
from .worker import TransactionalWorker


class Managing:
    """Turns a fetch of events into the commands they cause."""

    def __init__(
        self,
        settings: Settings,
        _: Any,
        table: PartitionedTable,
        topic_ids: Mapping[str, str],
        skipped: Mapping[Coordinates, str] = MappingProxyType({}),
    ) -> None:
        self.table, self.topic_ids, self.skipped = table, topic_ids, skipped
        self.changelog: str = table.changelog_topic.get_topic_name()
        self.process_manager = ProcessManager(settings)

    def decide(self, fetch: Fetch, refusal: Refusal | None = None) -> Decided:
        """Return the commands a fetch of events causes.

        An event that cannot be handled stops its partition: later events depend on it. What came before it is written.
        """
        decided = Decided()
        by_partition: dict[int, Any] = {}
        for tp, part in fetch.parts.items():
            changes = by_partition.setdefault(tp.partition, self.table.data.changes(tp.partition))
            self._manage_part(tp, part, changes, decided, refusal)
        for partition, changes in by_partition.items():
            decided.writes += [Write(self.changelog, partition, key, value) for key, value in changes.encode()]
            decided.changes.append(changes)
        return decided

    def _manage_part(self, tp: TP, part: Part, changes: Any, decided: Decided, refusal: Refusal | None) -> None:
        position: Position | None = changes.get(position_key(tp.topic))
        handled = position.offset if position else -1
        for record in part.records:
            if record.offset > handled:
                try:
                    if refusal is not None and refusal.resort is not Resort.SINGLY:
                        raise refusal.why
                    self._answer(record, open_envelope(record.value), decided)
                except Exception as bug:  # a bug of ours or a newer event: both are mended by a deploy
                    if self._skips(record, changes):
                        handled = record.offset
                        continue
                    decided.stops[tp] = Stop(record, bug)
                    part = Part(part.began, [r for r in part.records if r.offset < record.offset])
                    break
                handled = record.offset
        decided.handled[tp] = part
        if position is None or handled > position.offset:
            changes.put(position_key(tp.topic), Position(handled, self.topic_ids[tp.topic]))

    def _skips(self, record: ConsumerRecord, changes: Any) -> bool:
        """Whether an operator said to go on behind an event; that is kept."""
        at = coordinates(record)
        if (reason := self.skipped.get(at)) is not None:
            changes.put(skipped_key(*at), Skipped(reason))
        return reason is not None

    def _answer(self, record: ConsumerRecord, envelope: Envelope, decided: Decided) -> None:
        if faults.ARMED:
            faults.fault("decoded")
        if not fulfilment.heeds(envelope.kind, envelope.data.get("more", False)):
            return
        event = envelope.message()
        commands = self.process_manager.commands(event)
        decided.writes += commands
        if traces.ON is not None and commands:
            decided.spans += managing(traces.ON, event, len(commands))


KIND = SimpleNamespace(topics=SimpleNamespace(role="fulfilment"), table=positions_table)


def start(app: RoleApp, settings: Settings) -> None:
    """Give the fulfilment role its table and its agent."""
    worker = TransactionalWorker(app, settings, KIND, Managing)

    @app.fetch_agent
    async def handle(fetch: Fetch) -> Offsets | None:
        """Answer events with the commands they cause: one fetch, one transaction."""
        return await worker.handle(fetch)
