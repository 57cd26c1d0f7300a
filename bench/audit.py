"""Events per second of `fulfillment audit` on a running installation, and a profile of their CPU time.

python -m bench.audit [--orders N] [--against FOLDER]

An audit only reads, so with `--against`, the code of another checkout audits the same installation in turns with this
one.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import uvloop

from bench.checkout import Checkout, opened
from bench.figure import Figure, Found
from bench.flow import fill
from bench.results import Results
from bench.stacks import CLIENT, Install, Spent, Stacks
from bench.suite import Bench, Sizes

ORDERS = 60_000


class Audited(NamedTuple):
    """One audit; CPU seconds by process."""

    events: int
    seconds: float
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        """Events per second, of both topics together."""
        return self.events / self.seconds

    def microseconds(self, process: str) -> float:
        """CPU time per event."""
        return 1e6 * self.cpu[process] / self.events

    @property
    def all_microseconds(self) -> float:
        """CPU time per event of all processes."""
        return 1e6 * sum(self.cpu.values()) / self.events


def audited(install: Install, checkout: Checkout | None = None) -> Audited:
    """Audit an installation that has nothing in flight, with its own code or that of a checkout; it must be clean."""
    code = checkout or install.checkout
    spent, before = Spent(install), _children()
    found = json.loads(code.run(code.fulfillment("audit", "--json"), install.env).stdout)
    assert found["clean"], found
    assert not found["notes"], found
    assert not any(found["inFlight"].values()), found
    cpu = {name: seconds for name, seconds in spent.used().cpu.items() if name != CLIENT}
    return Audited(found["events"], found["seconds"], {"audit": _children() - before, **cpu})


def _children() -> float:
    """Return the CPU seconds of all processes that this one has started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def audit(bench: Bench, against: Checkout | None = None) -> Iterator[Found]:
    """Yield events per second and CPU time per event, with this code and with that of another checkout."""
    install = bench.main
    checkouts = {"": install.checkout} | ({f", {against.folder.name}": against} if against else {})
    rounds: dict[str, list[Audited]] = {name: [] for name in checkouts}
    uvloop.run(fill(install, bench.sizes.already, say=bench.say))
    install.quiet()
    for _ in bench.rounds("auditing", 60):
        for name, checkout in checkouts.items():
            rounds[name].append(audited(install, checkout))
    for name, found in rounds.items():
        how = f"{found[0].events:,} events of {install.placed:,} orders, with tables and read models"
        yield Figure("audit.rate", f"events audited{name}", [one.rate for one in found], "/s", how)
        for process in ("audit", "mongod", "kafka", "orders", "inventory"):
            yield Figure("", f"… CPU of an event, {process}", [one.microseconds(process) for one in found], "µs")


def main() -> int:
    """Place orders, then audit them in several rounds."""
    parser = argparse.ArgumentParser(prog="bench.audit", description=__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="a checkout with its own .venv")
    asked = parser.parse_args()
    against = opened(asked.against) if asked.against else None
    with Stacks() as stacks:
        bench = Bench(Sizes(already=asked.orders, rounds=asked.rounds), stacks, Results())
        bench.say = lambda what: print(what, file=sys.stderr, flush=True)
        for found in audit(bench, against):
            print(found, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
