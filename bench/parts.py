"""The parts of the suite in the order in which they run; parts that fill the tables come last."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.audit import audit
from bench.code import code
from bench.decide import decide
from bench.figure import Found
from bench.flow import flow
from bench.growth import growth
from bench.http import http
from bench.idle import idle
from bench.latency import latency
from bench.queries import queries
from bench.recovery import recovery
from bench.replay import replay
from bench.results import PartResult, Results
from bench.scaling import scaling
from bench.timers import timers


class Measured(Protocol):
    """The context of a part: it shows progress to a person, and gives a reader the conditions."""

    say: Callable[[str], None]

    def conditions(self) -> str:
        """Return the conditions a reader must know to judge the figures."""


M = TypeVar("M", bound=Measured)


class Entry(NamedTuple, Generic[M]):
    """A part, its title on the page, and about how many seconds it takes."""

    run: Callable[[M], Iterator[Found]]
    title: str
    seconds: int


PARTS = {
    "code": Entry(code, "Code: CPU time of an order in the roles", 15),
    "decide": Entry(decide, "Decide: order commands of one worker", 110),
    "idle": Entry(idle, "Idle", 45),
    "http": Entry(http, "Orders over HTTP", 60),
    "latency": Entry(latency, "Latency", 25),
    "flow": Entry(flow, "Flow: whole orders", 40),
    "queries": Entry(queries, "Queries", 30),
    "scaling": Entry(scaling, "Scaling: two workers per role", 90),
    "timers": Entry(timers, "Timers: 100,000 deadlines in one second", 200),
    "growth": Entry(growth, "Growth", 190),
    "recovery": Entry(recovery, "Recovery", 90),
    "audit": Entry(audit, "Audit", 90),
    "replay": Entry(replay, "Replay", 60),
}


def run_parts(parts: Mapping[str, Entry[M]], names: Sequence[str], measured: M, results: Results) -> int:
    """Run the parts called `names`, keep their results and show progress; return 1 if one failed."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting Kafka and MongoDB", total=sum(parts[name].seconds for name in names))
        measured.say = lambda what: progress.update(task, description=what)
        for name in names:
            measured.say(parts[name].title)
            part = run_part(parts[name], measured, lambda one: progress.console.print(str(one), markup=False))
            results.keep(name, part)
            progress.advance(task, parts[name].seconds)
            if part.failed:
                progress.console.print(f"{name} failed: {part.failed}", markup=False)
    return int(any(results.parts[name].failed for name in names))


def run_part(part: Entry[M], measured: M, found: Callable[[Found], None]) -> PartResult:
    """Run a part and return its results until it ended or failed; each is shown at once."""
    began = time.monotonic()
    result = PartResult(part.title, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", measured.conditions())
    try:
        for one in part.run(measured):
            result.found.append(one)
            found(one)
    except Exception as error:  # a failure must not lose the other parts' figures
        result.failed = f"{type(error).__name__}: {str(error)[-500:]}"
    result.seconds = time.monotonic() - began
    return result
