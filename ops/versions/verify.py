"""Compare two versions document by document, in several processes, each of which compares ranges of collections.

Versions of one shape have the same documents. If the shapes differ, each document of the live version is converted:
it is read as the fold reads it, and written as the code of the new version writes it. Entries of an event log, whose
ids may differ, are compared as the API shows them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ops.pool import Open, Waiting, pool, processes_for, shared_number
from ops.versions.comparing import Built, Compared, LiveEntries, NewEntries, Range, Sample, opened
from ops.versions.comparing import Work as Comparing
from ops.versions.deploy import wait_until_caught_up
from ops.versions.sides import EntriesSide, Side
from ops.versions.work import Work
from projections.projection import Projection
from projections.versions import Denied, Verified, verified
from streams.messages.envelope import now

PATIENCE_SECONDS = 15.0  # time for a document to reach the same sequence in both
RANGE, MOST_RANGES = 50_000, 256  # documents of a range, and ranges of a collection
ENDED = "A process of the comparison ended unexpectedly: run `fulfillment projections verify` again."


@dataclass
class Comparison(Compared):
    """The result of comparing a version with the live one."""

    live: Projection = field(kw_only=True)
    version: Projection = field(kw_only=True)
    notes: list[str] = field(default_factory=list)


async def verify(
    work: Work,
    name: str,
    sample: int | None,
    ignored: Sequence[str],
    processes: int | None = None,
    forked: Waiting | None = None,
) -> Comparison:
    """Compare the candidate with the live version, all documents or a `sample` of each, and record the result.

    `processes`: None for one per core; `forked`: processes that may be used.
    """
    versions = await work.registry.get(name)
    candidate, live = versions.candidate, versions.live_projection
    if candidate is None or (version := versions.projection(candidate.number)) is None:
        raise Denied(
            f"There is no version of {name} to verify: build one with `fulfillment projections deploy {name}`."
        )
    if live is None:
        raise Denied(f"No version of {name} is live to compare with: promote this one with --force.")
    await wait_until_caught_up(work, live, version)
    comparison = Comparison(live=live, version=version)
    with shared_number(PATIENCE_SECONDS) as patience:
        opens = partial(opened, work.settings, Built.of(version), Built.of(live), tuple(ignored), patience)
        await _compare(work, comparison, sample, opens, processes, forked)
    only = set(live.collections) ^ set(version.collections)
    comparison.notes += [f"{each} exists in only one of the versions, and was not compared" for each in sorted(only)]
    what = Verified(now(), comparison.documents, comparison.count, sample is not None, tuple(ignored))
    await work.registry.change(name, lambda found: verified(found, version.version, what))
    return comparison


async def _compare(
    work: Work,
    comparison: Comparison,
    sample: int | None,
    opens: Open[Comparing],
    processes: int | None,
    forked: Waiting | None,
) -> None:
    live, version = comparison.live, comparison.version
    names = [name for name in live.collections if name in version.collections]
    total, jobs = 0, list[Range]()
    async with opens(lambda steps: None) as here:
        for name in names:
            count, found = await _ranges(here, name) if sample is None else (sample, [Sample(name, {}, sample)])
            total += count
            jobs += found
    with work.progress(f"{live.name}: v{live.version} and v{version.version}", total) as advance:
        count = processes or processes_for(total, len(jobs))
        async with pool(opens, count, advance, ENDED, forked=forked) as doing:
            for part in await doing.do(jobs):
                comparison.add(part)


async def _ranges(here: Comparing, name: str) -> tuple[int, list[Range]]:
    """Return how many documents of a collection are compared, and the ranges that contain them."""
    version, live = here.sides(name)
    if not isinstance(live, EntriesSide):
        return await _cut(live, name, Range)
    count, entries = await _cut(live, name, LiveEntries)
    more, others = await _cut(version, name, NewEntries)
    return count + more, entries + others


async def _cut(side: Side, name: str, kind: type[Range]) -> tuple[int, list[Range]]:
    count = await side.collection.estimated_document_count()
    return count, [kind(name, where) for where in await side.ranges(min(-(-count // RANGE), MOST_RANGES))]
