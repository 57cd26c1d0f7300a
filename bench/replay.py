"""Events a second into a fresh projection, from offset zero."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import uvloop

from bench.figure import Figure, Found
from bench.flow import fill
from bench.stacks import Install
from bench.suite import Bench

PROJECTIONS = ("orders", "inventory")
EVENTS_AN_ORDER = 2  # of each topic, at least


class Rebuilt(NamedTuple):
    """What building a projection anew took."""

    events: int
    seconds: float
    cpu: float


def rebuild(install: Install, projection: str, most: int) -> Rebuilt:
    """Build a projection anew from `most` events or all there are; the one place that knows how that is done."""
    command = [sys.executable, "-m", "bench.fresh", projection, str(most)]
    done = subprocess.run(command, env=install.env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["documents"], f"{projection}: {found['events']} events left no document"
    return Rebuilt(found["events"], found["seconds"], found["cpu"])


def replay(bench: Bench) -> Iterator[Found]:
    """Yield events a second, by projection and in all."""
    uvloop.run(fill(bench.main, min(bench.sizes.already, bench.sizes.replayed // EVENTS_AN_ORDER), say=bench.say))
    found = defaultdict[str, list[Rebuilt]](list)
    for _ in bench.rounds("replaying", 50):
        for projection in PROJECTIONS:
            found[projection].append(rebuild(bench.main, projection, bench.sizes.replayed))
    together = [
        sum(one.events for one in both) / sum(one.seconds for one in both) for both in zip(*found.values(), strict=True)
    ]
    yield Figure("replay.rate", "events replayed", together, "/s", "orders, then inventory")
    for projection, rounds in found.items():
        how = f"{rounds[0].events:,} events"
        yield Figure("", f"… into {projection}", [one.events / one.seconds for one in rounds], "/s", how)
        yield Figure("", "… a second of the projector's CPU", [one.events / one.cpu for one in rounds], "/s")
