"""Events per second into a fresh projection from offset zero, and a profile of their CPU time."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.events import fill, having
from bench.figure import Figure, Found
from bench.stacks import STORES, Install, Spent
from bench.suite import Bench

PROJECTIONS = ("orders", "inventory")
MILLION = 1_000_000  # events of both topics together


class Rebuilt(NamedTuple):
    """The resources used to build a projection; CPU seconds by process."""

    events: int
    seconds: float
    cpu: dict[str, float]

    def microseconds(self, process: str) -> float:
        """CPU time per event."""
        return 1e6 * self.cpu[process] / self.events

    def __str__(self) -> str:
        each = ", ".join(f"{name} {self.microseconds(name):.1f}" for name in self.cpu)
        total = sum(self.cpu.values())
        return (
            f"{self.events:,} events in {self.seconds:.1f} s, {self.events / self.seconds:,.0f}/s; CPU µs an event: "
            f"{each}, in all {1e6 * total / self.events:.1f}: {self.events / total:,.0f} a CPU second"
        )


def logs(servers: Install, folder: Path, each: int) -> Install:
    """Return an installation without roles on `servers`, with about `each` events in both event topics."""
    install = Install(folder, "replay", servers, checkout=servers.checkout)
    install.run("topics", "create")
    install.learn_partitions()
    fill(install.settings, *having(each))
    return install


def rebuild(install: Install, projection: str) -> Rebuilt:
    """Build a projection from offset zero; the only function that knows how this is done."""
    checkout, spent = install.checkout, Spent(install)
    done = checkout.run(checkout.module("bench.fresh", projection), install.env)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["documents"], f"{projection}: {found['events']} events left no document"
    stores = {name: seconds for name, seconds in spent.used().cpu.items() if name in STORES}
    return Rebuilt(found["events"], found["seconds"], {"builder": found["cpu"], **stores})


def replay(bench: Bench) -> Iterator[Found]:
    """Yield events per second, by projection and in total."""
    bench.say("writing events")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        install = logs(
            bench.stacks.servers, Path(folder), MILLION // 2 if bench.sizes.million else bench.sizes.replayed
        )
        found = defaultdict[str, list[Rebuilt]](list)
        for _ in bench.rounds("replaying", 50):
            for projection in PROJECTIONS:
                found[projection].append(rebuild(install, projection))
    together = [
        sum(one.events for one in both) / sum(one.seconds for one in both) for both in zip(*found.values(), strict=True)
    ]
    yield Figure("replay.rate", "events replayed", together, "/s", "orders, then inventory; with their indexes")
    for projection, rounds in found.items():
        how = f"{rounds[0].events:,} events"
        yield Figure("", f"… into {projection}", [one.events / one.seconds for one in rounds], "/s", how)
        for process in rounds[0].cpu:
            yield Figure("", f"… CPU of an event, {process}", [one.microseconds(process) for one in rounds], "µs")
