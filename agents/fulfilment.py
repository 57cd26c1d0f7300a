"""The fulfilment agent: the process manager between orders and stock."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aiokafka import ConsumerRecord
from faust.types import TP

from domain import fulfilment
from parking.entries import Skipped, skipped_key
from streams.kafka.transactions import Write
from streams.kafka.transport import Fetch, Part
from streams.kafka.unreadable import first_of
from streams.messages.codec import Envelope, open_envelope
from streams.runtime import faults
from streams.runtime.app import RoleApp
from streams.runtime.settings import Role, Settings
from streams.tracing import traces
from tables.entries import Position, position_key
from tables.positions import positions_table

from .deciding import Decided
from .metrics import timed
from .portions import Refusal, Resort
from .process_manager import ProcessManager
from .skips import Event
from .traces import managing
from .worker import ProcessingWorker


class Managing:
    """Turns a fetch of events into the commands they cause."""

    def __init__(
        self,
        worker: ProcessingWorker,
        skipped: Mapping[Event, str] = MappingProxyType({}),
        refusals: Mapping[Event, Refusal] = MappingProxyType({}),
    ) -> None:
        self.worker, self.skipped, self.refusals = worker, skipped, refusals
        self.table = positions_table(worker.app)
        self.changelog: str = self.table.changelog_topic.get_topic_name()
        self.process_manager = ProcessManager(worker.settings)

    def manage(self, fetch: Fetch) -> Decided:
        """Return the commands a fetch of events causes.

        An event that cannot be handled stops its partition: later events depend on it. What came before it is written.
        """
        decided = Decided()
        by_partition: dict[int, Any] = {}
        for tp, part in fetch.parts.items():
            changes = by_partition.setdefault(tp.partition, self.table.data.changes(tp.partition))
            self._manage_part(tp, part, changes, decided)
        for partition, changes in by_partition.items():
            decided.writes += [Write(self.changelog, partition, key, value) for key, value in changes.encode()]
            decided.changes.append(changes)
        return decided

    def _manage_part(self, tp: TP, part: Part, changes: Any, decided: Decided) -> None:
        position: Position | None = changes.get(position_key(tp.topic))
        handled = position.offset if position else -1
        for record in part.records:
            if record.offset > handled:
                try:
                    self._raise_refusal(record)
                    self._answer(record, open_envelope(record.value), decided)
                except Exception as bug:  # a bug of ours or a newer event: both are mended by a deploy
                    if self._skips(record, changes):
                        handled = record.offset
                        continue
                    self.worker.stop_partition(tp, record, bug)
                    decided.offsets[tp] = first_of(record)
                    part.records = [r for r in part.records if r.offset < record.offset]
                    break
                handled = record.offset
        else:
            decided.offsets[tp] = part.ended
        if position is None or handled > position.offset:
            changes.put(position_key(tp.topic), Position(handled, self.worker.topic_ids[tp.topic]))

    def _raise_refusal(self, record: ConsumerRecord) -> None:
        """Raise why Kafka refuses what an event leads to, where it was refused alone: then the partition stops."""
        refusal = self.refusals.get((record.topic, record.partition, record.offset)) if self.refusals else None
        if refusal is not None and refusal.resort is not Resort.SINGLY:
            raise refusal.why

    def _skips(self, record: ConsumerRecord, changes: Any) -> bool:
        """Whether an operator said to go on behind an event; that is kept."""
        at = (record.topic, record.partition, record.offset)
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


def fulfilment_worker(app: RoleApp, role: Role, settings: Settings) -> None:
    """Give the fulfilment role its table and its agent."""
    worker = ProcessingWorker(app, role, settings)
    managing = Managing(worker, worker.skips.reasons, worker.refusals)
    worker.keeps(managing.table)
    manage = timed(managing.manage)

    @worker.agent()
    async def fulfilment_agent(stream: Any) -> None:
        """Answer events with the commands they cause: one fetch, one transaction."""
        async for fetch in worker.fetches(stream):
            await worker.handle(fetch, manage)
