"""The parts of the suite, in the order they are run: those that fill the tables come last."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

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
from bench.results import PartResult
from bench.scaling import scaling
from bench.suite import Bench, Part


class Entry(NamedTuple):
    """A part, what it is called on the page, and about how many seconds it takes."""

    run: Part
    title: str
    seconds: int


PARTS = {
    "code": Entry(code, "Code: what an order costs the roles themselves", 15),
    "decide": Entry(decide, "Decide: order commands of one worker", 110),
    "idle": Entry(idle, "Idle", 45),
    "http": Entry(http, "Orders over HTTP", 60),
    "latency": Entry(latency, "Latency", 25),
    "flow": Entry(flow, "Flow: whole orders", 40),
    "queries": Entry(queries, "Queries", 30),
    "scaling": Entry(scaling, "Scaling: two workers a role", 90),
    "growth": Entry(growth, "Growth", 190),
    "recovery": Entry(recovery, "Recovery", 90),
    "replay": Entry(replay, "Replay", 60),
}


def run_part(name: str, bench: Bench, found: Callable[[Found], None]) -> PartResult:
    """Run a part and return what it found until it ended, or failed; `found` is told at once."""
    part, began = PARTS[name], time.monotonic()
    result = PartResult(part.title, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", bench.conditions())
    try:
        for one in part.run(bench):
            result.found.append(one)
            found(one)
    except Exception as error:  # the other parts' figures must not be lost with it
        result.failed = f"{type(error).__name__}: {str(error)[-500:]}"
    result.seconds = time.monotonic() - began
    return result
