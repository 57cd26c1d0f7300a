"""The parts of a comparison of two checkouts, each driven from outside: by HTTP, Kafka and its command line.

A part of `bench` that imports the code it measures runs in the checkout's own interpreter; this process imports nothing
of the base.
"""

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from operator import itemgetter, methodcaller
from pathlib import Path
from typing import NamedTuple, TypeVar

import uvloop

from bench.arena import Arena, agent, bare_loop
from bench.audit import audited
from bench.backlog import Rate, orders
from bench.checkout import Checkout
from bench.figure import Found, Profile, Ratio, percentile
from bench.flow import Flowed, fill, place
from bench.http import CONNECTIONS, Accepted, place_orders
from bench.idle import idle_cores, roles_memory
from bench.latency import one_at_a_time
from bench.parts import Entry
from bench.recovery import ROLES, Restored, last_restore, restarted
from bench.replay import PROJECTIONS, Rebuilt, logs, rebuild
from bench.stacks import STORES, Install
from bench.turns import Turns
from ops.stack.logs import log_of

T = TypeVar("T")
STEP = re.compile(r"^(\w+)(:.*)? +([\d.]+) µs an order$", re.MULTILINE)
CPU = "CPU of the whole system"


def code(turns: Turns) -> Iterator[Found]:
    """Yield the CPU time of the roles' own code, measured by each checkout's `bench.cpu`."""
    orders, rounds = ("500", "20") if turns.sizes.meaning else ("50", "1")

    def measure(checkout: Checkout) -> dict[str, float]:
        said = checkout.run(checkout.module("bench.cpu", "--orders", orders, "--rounds", rounds)).stdout
        found: dict[str, float] = defaultdict(float)
        for role, _, microseconds in STEP.findall(said):
            found[role] += float(microseconds)
        return found

    both = turns.measured("the roles' own code", turns.base, turns.ours, measure)
    yield both.ratio("code", "the roles' own code", "µs per order", lambda one: one["all"])
    for role in [each for each in both.base[0] if each in both.ours[0] and each != "all"]:
        yield both.ratio("", f"… {role}", "µs per order", itemgetter(role))


def decide(turns: Turns) -> Iterator[Found]:
    """Yield the orders worker's rate of decisions, and its share of a bare loop's with this checkout's decisions."""
    backlog, bare = orders(turns.sizes.commands), list[Rate]()

    def worked_off(install: Install, *contenders: str) -> Rate:
        best = Rate(0, 0)
        for client in contenders:
            with Arena(install, bare_loop(client) if client else agent("orders")) as arena:
                rate = arena.work_off(backlog)
                arena.check()
            best = Rate(max(best.second, rate.second), max(best.cpu_second, rate.cpu_second))
        return best

    def measure(install: Install) -> Rate:
        if install.checkout is turns.ours:
            bare.append(worked_off(install, "aiokafka", "librdkafka"))
        return worked_off(install, "")

    both = turns.stacked("deciding", measure)
    yield both.ratio("decide.cpu", "commands decided per CPU second of the orders worker", "", _cpu_second)
    yield both.ratio("", "commands decided by one orders worker", "/s", _second)
    beside = both._replace(base=bare)
    yield beside.ratio("decide.bare", "… by the bare loop, and by the orders worker", "/s", _second)
    yield beside.ratio("", "… per CPU second, by the bare loop, and by the orders worker", "", _cpu_second)


def _second(rate: Rate) -> float:
    return rate.second


def _cpu_second(rate: Rate) -> float:
    return rate.cpu_second


def http(turns: Turns) -> Iterator[Found]:
    """Yield the rate of orders accepted over HTTP."""
    count = turns.sizes.orders
    for install in turns.installs():
        uvloop.run(place_orders(install, count // 2, 32))  # warm-up
    for connections in CONNECTIONS:

        def measure(install: Install, connections: int = connections) -> Accepted:
            return uvloop.run(place_orders(install, count, connections))

        what, key = f"HTTP, {connections} connections", f"http.{connections}"
        both = turns.stacked(what, measure)
        yield both.ratio(f"{key}.rate", f"{what}: orders accepted", "/s", lambda one: one.load.rate)
        yield both.ratio("", "… p50", "ms", lambda one: one.load.percentile(0.5))
        yield both.ratio(f"{key}.p99", "… p99", "ms", lambda one: one.load.percentile(0.99))
        yield both.ratio(f"{key}.cpu", f"… {CPU}", "ms per order", lambda one: 1000 * one.used.system / count)
        yield from _profiles(what, both.middle(lambda one: one.used.system), Accepted.profile)


def latency(turns: Turns) -> Iterator[Found]:
    """Yield the latency of one order in an idle system."""

    def measure(install: Install) -> tuple[float, float]:
        outcome, visible = uvloop.run(one_at_a_time(install, turns.sizes.singles))
        return 1000 * percentile(outcome, 0.5), 1000 * percentile(visible, 0.5)

    both = turns.stacked("latency, one at a time", measure)
    yield both.ratio("latency.outcome", "POST → outcome, p50, one at a time", "ms", lambda one: one[0])
    yield both.ratio("latency.visible", "POST → visible, p50, one at a time", "ms", lambda one: one[1])


def flow(turns: Turns) -> Iterator[Found]:
    """Yield the rate of whole orders: from PlaceOrder on Kafka to allocated and visible."""
    count = turns.sizes.flow
    for install in turns.installs():
        uvloop.run(place(install, count // 4))  # warm-up
    both = turns.stacked("whole orders", lambda install: uvloop.run(place(install, count)))
    yield both.ratio(
        "flow.rate", "whole orders, PlaceOrder on Kafka → allocated and visible", "/s", lambda one: one.rate
    )
    yield both.ratio("flow.cpu", f"… {CPU}", "ms per order", lambda one: 1000 * one.used.system / count)
    yield from _profiles("whole orders", both.middle(lambda one: one.used.system), Flowed.profile)


def _profiles(what: str, sides: tuple[T, T], profile: Callable[[T, str], Profile]) -> Iterator[Profile]:
    for name, side in zip(("base", "ours"), sides, strict=True):
        yield profile(side, f"{what}: {name}")


def idle(turns: Turns) -> Iterator[Found]:
    """Yield the cost of an idle stack."""

    def measure(install: Install) -> tuple[float, float]:
        install.quiet()
        cores = idle_cores(install, turns.sizes.idle)
        return sum(cores.values()), sum(cores[role] for role in cores.keys() - STORES)

    both = turns.stacked("idle", measure)
    yield both.ratio("idle", f"{CPU}, idle", "% of a core", lambda one: one[0])
    yield both.ratio("", "… of the roles alone", "% of a core", lambda one: one[1])


class Recovered(NamedTuple):
    """The last restore of the tables, by the workers' logs."""

    orders: int
    restores: dict[str, Restored]

    def rate(self, *roles: str) -> float:
        """Orders restored per second, in the tables of `roles` one after the other."""
        return self.orders / max(sum(self.restores[role].seconds for role in roles), 0.01)


def restore(turns: Turns) -> Iterator[Found]:
    """Yield the memory per order in the roles, and how fast the tables are restored after kill -9."""
    already = turns.sizes.already
    memory = dict[Checkout, float]()
    for install in turns.installs():
        install.quiet()
        before, placed = roles_memory(install), install.placed
        uvloop.run(fill(install, placed + already, say=turns.say))
        install.quiet()
        memory[install.checkout] = (roles_memory(install) - before) / already
    base, ours = (max(memory[side], 1.0) for side in (turns.base, turns.ours))
    yield Ratio("memory", f"memory of all roles, {already:,} orders more", "bytes per order", [base], [ours])

    def measure(install: Install) -> Recovered:
        found = dict[str, Restored]()
        for role in ROLES:
            restarted(install, role)
            found[role] = last_restore(log_of(install.settings.data, f"{role}-0").read_text())
        return Recovered(install.placed, found)

    both = turns.stacked("kill -9 and restore", measure)
    yield both.ratio("restore", "orders restored, in all tables", "/s", lambda one: one.rate(*ROLES))
    for role in ROLES:
        yield both.ratio("", f"… in the tables of {role}", "/s", methodcaller("rate", role))


def replay(turns: Turns) -> Iterator[Found]:
    """Yield the rate of events replayed into fresh projections, measured by each checkout's `bench.fresh`."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        turns.say("writing events")
        base, ours = (
            logs(install, Path(folder) / name, turns.sizes.replayed)
            for name, install in zip(("base", "ours"), turns.installs(), strict=True)
        )
        both = turns.measured("replaying", base, ours, lambda install: [rebuild(install, one) for one in PROJECTIONS])
    yield both.ratio("replay", "events replayed, orders, then inventory", "/s", _replayed)
    yield both.ratio("", "… CPU of the builder and the stores", "µs per event", _replay_cpu)


def _replayed(rebuilt: list[Rebuilt]) -> float:
    return sum(one.events for one in rebuilt) / sum(one.seconds for one in rebuilt)


def _replay_cpu(rebuilt: list[Rebuilt]) -> float:
    return 1e6 * sum(sum(one.cpu.values()) for one in rebuilt) / sum(one.events for one in rebuilt)


def audit(turns: Turns) -> Iterator[Found]:
    """Yield the rate of events that `fulfillment audit` compares with everything."""
    for install in turns.installs():
        uvloop.run(fill(install, turns.sizes.already, say=turns.say))
        install.quiet()
    both = turns.stacked("auditing", audited)
    yield both.ratio("audit", "events audited", "/s", lambda one: one.rate)
    yield both.ratio("", f"… {CPU}", "µs per event", lambda one: one.all_microseconds)


COMPARED = {
    "code": Entry(code, "the roles' own code", 60),
    "decide": Entry(decide, "deciding", 200),
    "http": Entry(http, "orders over HTTP", 150),
    "latency": Entry(latency, "latency", 60),
    "flow": Entry(flow, "whole orders", 80),
    "idle": Entry(idle, "idle", 150),
    "restore": Entry(restore, "restoring tables", 150),
    "audit": Entry(audit, "auditing", 120),
    "replay": Entry(replay, "replaying", 120),
}
