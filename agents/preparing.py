"""Preparing the partitions that a transactional worker is assigned: offsets read, the table restored, both checked."""

import asyncio
import logging
import time
from collections.abc import Mapping
from functools import partial
from time import perf_counter
from typing import Any

from confluent_kafka import KafkaException
from faust.types import TP
from tenacity import before_sleep_log, retry, retry_if_exception_type, wait_random_exponential

from streams.kafka.transactions import committed_offsets
from streams.kafka.transport import Prepared
from streams.keys import position_key
from streams.runtime.app import RoleApp
from streams.runtime.faults import fault
from streams.runtime.process import EX_CONFIG, end_process
from streams.runtime.settings import Settings
from streams.topics import CUSTOMER_KEYS, UnfinishedImport, admin, find, find_topics, refuse_unfinished_import
from streams.wording import counted
from tables.databases import Databases
from tables.entries import Position
from tables.restore import catch_up, log_restored
from tables.rows import MemoryRows, Rows
from tables.standby import Standby
from tables.store import Entries, PartitionedTable

from .metrics import RECOVERED_ENTRIES, RECOVERY_SECONDS, STANDBY_TIME
from .older_events import OlderEvents

log = logging.getLogger(__name__)


async def topic_ids_of(app: RoleApp, writes_keys: bool = False) -> dict[str, str]:
    """Return the ids of the topics that a role reads, by their names; end the process when they are not as needed.

    `writes_keys`: the role also needs the topic of customers' keys.
    """
    settings = app.settings
    try:
        await asyncio.to_thread(refuse_unfinished_import, settings)
    except UnfinishedImport as unfinished:
        end_process(str(unfinished), EX_CONFIG)
    topics = (*app.reads, CUSTOMER_KEYS) if writes_keys else app.reads
    wanted = {settings.named(topic.name) for topic in topics}
    found = await find_topics(settings, topics)
    for topic in found.values():
        if topic.partitions != settings.partitions:
            end_process(
                f"topic {topic.name} has {counted(topic.partitions, 'partition')}: set FULFILLMENT_PARTITIONS to that, "
                f"it is {settings.partitions}",
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
        self.databases: Databases | None = None
        self.standby = Standby(settings, self.changelog, STANDBY_TIME.set)
        if settings.state == "disk":
            folder = settings.data / "state" / group / settings.instance
            self.databases = Databases(folder, settings.state_cache << 20, settings.partitions)

    async def prepare(self, inputs: set[TP]) -> Prepared:
        """Restore the table, and return where each input is to be read from.

        Waits until no transaction of an earlier owner is pending. A partition whose changelog is lost is withheld.
        """
        began = perf_counter()
        offsets = await committed_offsets(self.settings, self.group, inputs, self.app.say_waiting)
        fault("offsets-read")
        self.table.data.detach()
        await self.standby.stop()
        lost: dict[int, str] = {}
        started, partitions = time.monotonic(), {tp.partition for tp in inputs}
        rows = await self._rows(partitions)
        count = await catch_up(self.settings, self.changelog, rows, lost)
        log_restored(count, self.changelog, len(rows), started)
        restored = {partition: Entries(self.table.codec, each) for partition, each in rows.items()}
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
        RECOVERED_ENTRIES.inc(count)
        if self.settings.standby and self.databases is not None:
            self.standby.follow(partial(self._rows, set(range(self.settings.partitions)) - partitions))
        return Prepared(offsets, withheld)

    async def _rows(self, partitions: set[int]) -> Mapping[int, Rows]:
        """Return the rows of partitions, which may lack what was written since this worker owned them last."""
        if self.databases is None:
            return {partition: MemoryRows() for partition in partitions}
        keep = range(self.settings.partitions) if self.settings.standby else ()
        return await self.databases.rows(partitions, await self._changelog_id(), self.app.say_waiting, keep)

    @retry(
        retry=retry_if_exception_type(KafkaException),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        before_sleep=before_sleep_log(log, logging.WARNING),
    )
    async def _changelog_id(self) -> str:
        found = await asyncio.to_thread(lambda: find(admin(self.settings), [self.changelog]))
        if self.changelog not in found:
            end_process(f"topic {self.changelog} is missing; run `fulfillment topics create`", EX_CONFIG)
        return found[self.changelog].id

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
