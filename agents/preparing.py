"""Preparing the partitions that a transactional worker is assigned: offsets read, the table restored, both checked."""

import asyncio
import logging
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from faust.types import TP

from streams.kafka.transactions import committed_offsets
from streams.kafka.transport import Prepared
from streams.keys import position_key
from streams.runtime.app import RoleApp
from streams.runtime.faults import fault
from streams.runtime.process import EX_CONFIG, end_process
from streams.runtime.settings import Settings
from streams.topics import UnfinishedImport, find_topics, refuse_unfinished_import
from tables.entries import Position
from tables.restore import restore
from tables.store import Entries, PartitionedTable

from .metrics import RECOVERED_ENTRIES, RECOVERY_SECONDS
from .older_events import OlderEvents

log = logging.getLogger(__name__)


async def topic_ids_of(app: RoleApp) -> dict[str, str]:
    """Return the ids of the topics that a role reads, by their names; end the process when they are not as needed."""
    settings = app.settings
    try:
        await asyncio.to_thread(refuse_unfinished_import, settings)
    except UnfinishedImport as unfinished:
        end_process(str(unfinished), EX_CONFIG)
    wanted = {settings.named(topic.name) for topic in app.reads}
    found = await find_topics(settings, app.reads)
    for topic in found.values():
        if topic.partitions != settings.partitions:
            end_process(
                f"topic {topic.name} has {topic.partitions} partitions: set FULFILLMENT_PARTITIONS to that, it is "
                f"{settings.partitions}",
                EX_CONFIG,
            )
    if missing := wanted - found.keys():
        end_process(f"topics are missing: {', '.join(sorted(missing))}; run `fulfillment topics create`", EX_CONFIG)
    return {name: topic.id for name, topic in found.items()}


def _is_older(tp: TP, entries: Entries[Any]) -> bool:
    """Return whether older code was the last to handle a partition, as far as its table says."""
    position: Position | None = entries.get(position_key(tp.topic))
    return position is None or not position.fulfils


class Preparing:
    """Prepares partitions of one role; `topic_ids`: of the topics it reads."""

    def __init__(
        self,
        app: RoleApp,
        settings: Settings,
        group: str,
        table: PartitionedTable,
        topic_ids: Mapping[str, str],
        older_events: OlderEvents,
    ) -> None:
        self.app, self.settings, self.group, self.table, self.topic_ids = app, settings, group, table, topic_ids
        self.older_events = older_events
        self.changelog: str = table.changelog_topic.get_topic_name()

    async def prepare(self, inputs: set[TP]) -> Prepared:
        """Restore the table, and return where each input is to be read from.

        Waits until no transaction of an earlier owner is pending. A partition whose changelog is lost is withheld.
        """
        began = perf_counter()
        offsets = await committed_offsets(self.settings, self.group, inputs, self.app.say_waiting)
        fault("offsets-read")
        lost: dict[int, str] = {}
        restored = await restore(self.settings, self.changelog, {tp.partition for tp in inputs}, self.table.codec, lost)
        fault("restored")
        withheld = {
            tp: f"{tp.topic}/{tp.partition} is blocked, its table is lost: {lost[tp.partition]}; stop the workers and "
            "rebuild it with `fulfillment replay tables --rebuild`"
            for tp in inputs
            if tp.partition in lost
        }
        for reason in withheld.values():
            log.error("%s", reason)
        for tp in inputs - withheld.keys():
            self._refuse_another_topic(tp, restored[tp.partition])
            self._refuse_lost_table(tp, offsets[tp], restored[tp.partition])
        checked = {tp: offsets[tp] for tp in inputs - withheld.keys()}
        await self.older_events.send({tp: at for tp, at in checked.items() if _is_older(tp, restored[tp.partition])})
        self.table.data.replace(restored)
        RECOVERY_SECONDS.observe(perf_counter() - began)
        RECOVERED_ENTRIES.inc(sum(len(entries.raw) for entries in restored.values()))
        return Prepared(offsets, withheld)

    def _refuse_another_topic(self, tp: TP, entries: Entries[Any]) -> None:
        position: Position | None = entries.get(position_key(tp.topic))
        if position is not None and position.topic_id != self.topic_ids[tp.topic]:
            end_process(
                f"topic {tp.topic} is not the one this installation has read up to offset {position.offset}: it was "
                "deleted and created again. Restore the old topic, or accept the new one with "
                "`fulfillment topics adopt`",
                EX_CONFIG,
            )

    def _refuse_lost_table(self, tp: TP, committed: int, entries: Entries[Any]) -> None:
        """Every transaction that commits an offset writes a position: without one the changelog has lost the table."""
        if committed > 0 and position_key(tp.topic) not in entries:
            end_process(
                f"{tp.topic} was handled up to offset {committed} of partition {tp.partition}, and the changelog "
                f"{self.changelog} knows nothing of it: it was lost. Stop the workers and rebuild it with "
                "`fulfillment replay tables --rebuild`",
                EX_CONFIG,
            )
