"""Compare the workers' tables, in their changelogs, with the events, and rebuild them."""

import asyncio
import time
from collections.abc import Mapping
from functools import partial

from faust.types import TP

from ops.audit.groups import LIMIT
from ops.audit.report import Report
from ops.errors import Unavailable
from ops.kafka import groups, records
from ops.kafka.adopt import READERS, Reader
from ops.pool import Waiting, most_processes, pool, processes_for, waiting
from ops.progress import ShowProgress, silent
from ops.replay.comparing import FOLDED, PartitionCheck, opened
from ops.workspace import clear, workspace
from streams.kafka.transactions import committed_offsets
from streams.runtime.settings import Settings
from streams.topics import UnfinishedImport, refuse_unfinished_import, topic_ids

ENDED = "A process of the comparison ended unexpectedly: run `fulfillment replay tables --verify` again."


def verify(
    settings: Settings, progress: ShowProgress = silent, *, limit: int = LIMIT, processes: int | None = None
) -> Report:
    """Compare the changelogs with the events; workers may be running.

    `limit`: bytes of a partition that a process keeps in memory; `processes`: None for one per core.
    """
    began, report = time.monotonic(), Report()
    with waiting(processes or most_processes(2 * settings.partitions)) as forked, records.kafka(settings):
        asyncio.run(_verify(settings, report, progress, limit, processes, forked))
    report.seconds = time.monotonic() - began
    return report


def rebuild(settings: Settings, progress: ShowProgress = silent) -> list[str]:
    """Rebuild the changelogs from the events; return a sentence for each. `groups.WorkersRun` if workers run."""
    from ops.replay.rebuild import rebuild_tables

    with records.kafka(settings):
        _refuse_unfinished_import(settings)
        groups.refuse_running(settings, {reader.role for reader in READERS})
        return asyncio.run(rebuild_tables(settings, progress))


def _refuse_unfinished_import(settings: Settings) -> None:
    try:
        refuse_unfinished_import(settings)
    except UnfinishedImport as error:
        raise Unavailable(f"The tables were not rebuilt: {error}.") from error


async def _verify(
    settings: Settings,
    report: Report,
    progress: ShowProgress,
    limit: int,
    processes: int | None,
    forked: Waiting | None,
) -> None:
    topics = await topic_ids(settings)
    for reader in READERS:
        if settings.named(reader.changelog.name) not in topics:
            raise Unavailable(
                f"Topic {reader.changelog.name} is missing: create it with `fulfillment replay tables --rebuild`."
            )
    checks = [check for reader in READERS for check in await _checks(settings, reader, topics)]
    total = sum(check.events for check in checks)
    with workspace(settings, "verify") as folder, progress("events", total) as advance:
        clear(folder)  # a comparison that was killed may have left something
        opens = partial(opened, settings, folder, limit)
        count = processes or processes_for(total, len(checks))
        async with pool(opens, count, advance, ENDED, forked=forked) as doing:
            for found in await doing.do(checks):
                report.add(found)
        clear(folder)


async def _checks(settings: Settings, reader: Reader, topics: Mapping[str, str]) -> list[PartitionCheck]:
    """Return a check for each partition of a role's table."""
    numbers, topic = range(settings.partitions), FOLDED[reader.role].topic.name
    inputs = {TP(settings.named(each.name), n) for each in reader.inputs for n in numbers}
    committed = await committed_offsets(settings, settings.named(reader.role), inputs)
    handled: dict[int, dict[str, int]] = {n: {} for n in numbers}
    for at, offset in sorted(committed.items()):
        handled[at.partition][at.topic] = offset
    spans = await asyncio.to_thread(records.watermarks, settings, topic)
    ids = {each: topics.get(each, "") for each in handled[0]}
    return [PartitionCheck(reader.role, number, *spans[number], handled[number], ids) for number in numbers]
