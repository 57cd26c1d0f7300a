"""Order commands per second through one worker, against the same decisions in bare loops, in turns."""

from collections import defaultdict
from collections.abc import Iterator

from bench.arena import Arena, agent, bare_loop
from bench.backlog import Rate, orders
from bench.figure import Figure, Found
from bench.suite import Bench

OURS, AIOKAFKA, LIBRDKAFKA = agent("orders"), bare_loop("aiokafka"), bare_loop("librdkafka")


def decide(bench: Bench) -> Iterator[Found]:
    """Yield the rate of one worker's decisions, and its share of the bare loops' rates."""
    rates: dict[str, list[Rate]] = defaultdict(list)
    servers, count = bench.stacks.servers, bench.sizes.commands
    for _ in bench.rounds("deciding", 100):
        backlog = orders(count)
        for contender in (OURS, AIOKAFKA, LIBRDKAFKA):
            with Arena(servers, contender) as arena:
                rates[contender.name].append(arena.work_off(backlog))
                arena.check()
    how = f"PlaceOrder of 2 lines, backlog of {count:,}"
    for contender in (OURS, AIOKAFKA, LIBRDKAFKA):
        what = f"commands decided by the {contender.name}"
        ours, found = contender is OURS, rates[contender.name]
        seconds, cpu_seconds = [rate.second for rate in found], [rate.cpu_second for rate in found]
        yield Figure("decide.rate" if ours else "", what, seconds, "/s", how)
        yield Figure("decide.cpu" if ours else "", what, cpu_seconds, "a CPU-second")
    yield from _ratios(rates)


def _ratios(rates: dict[str, list[Rate]]) -> Iterator[Found]:
    rounds = list(zip(*(rates[one.name] for one in (OURS, AIOKAFKA, LIBRDKAFKA)), strict=True))
    what = "our agent to the bare loop"
    yield Figure("", what, [ours.second / one.second for ours, one, _ in rounds], "×", "aiokafka")
    yield Figure("", what, [ours.second / other.second for ours, _, other in rounds], "×", "librdkafka")
    faster = [ours.second / max(one.second, other.second) for ours, one, other in rounds]
    yield Figure("decide.ratio", what, faster, "×", "the faster one")
    cpu = [ours.cpu_second / max(one.cpu_second, other.cpu_second) for ours, one, other in rounds]
    yield Figure("", what, cpu, "×", "per CPU second, the better one")
