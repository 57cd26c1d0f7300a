"""The versions of all projections, as operators see them."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pymongo.errors import PyMongoError

from projections.document import Document
from projections.metrics import BEHIND, STATE
from projections.mongo.registry import Registry
from projections.versions import Version, Versions

MEASURE_SECONDS = 1.0

Offsets = Mapping[tuple[str, int], int]  # (topic, partition) → next offset


async def overview(registry: Registry) -> list[Document]:
    """Return one document per projection; `behind`: offsets behind the most advanced version."""
    known, reached = await asyncio.gather(registry.read(), registry.progress())
    return [_overview(versions, reached) for _, versions in sorted(known.items())]


async def measure(registry: Registry) -> None:
    """Update Prometheus metrics; values that cannot be read now are left out."""
    BEHIND.clear()
    STATE.clear()
    with suppress(PyMongoError, TimeoutError):
        async with asyncio.timeout(MEASURE_SECONDS):
            for one in await overview(registry):
                for version in one["versions"]:
                    number = str(version["version"])
                    BEHIND.labels(one["name"], number).set(version["behind"])
                    STATE.labels(one["name"], number, version["state"]).set(1)


def _overview(versions: Versions, reached: Mapping[tuple[str, int], Offsets]) -> Document:
    offsets = {version.number: reached.get((versions.name, version.number), {}) for version in versions.versions}
    furthest: dict[tuple[str, int], int] = defaultdict(int)
    for each in offsets.values():
        for at, offset in each.items():
            furthest[at] = max(furthest[at], offset)
    return {
        "name": versions.name,
        "live": versions.live,
        "previous": versions.previous,
        "switchedAt": versions.switched_at,
        "versions": [_version(version, offsets[version.number], furthest) for version in versions.versions],
    }


def _version(version: Version, offsets: Offsets, furthest: Offsets) -> dict[str, Any]:
    verified = version.verified
    return {
        "version": version.number,
        "shape": version.shape,
        "state": version.state,
        "reason": version.reason,
        "createdAt": version.created_at,
        "behind": sum(end - offsets.get(at, 0) for at, end in furthest.items()),
        "verified": verified
        and {
            "at": verified.at,
            "documents": verified.documents,
            "differences": verified.differences,
            "sampled": verified.sampled,
            "ignored": list(verified.ignored),
        },
    }
