"""The guided tour in docs/architecture.md is true: each hop exists, is called by an earlier one, and runs in order."""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from bench.cpu import steps
from bench.memory import Log, placed, stocked
from projections.batch import Part
from projections.pipeline import Folding
from projections.table import PROJECTIONS
from streams import topics
from streams.runtime.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
HOP = re.compile(r"^\d+\. `([\w/]+\.py):([\w.]+)` \S.*[.:]$")
MOST_HOPS, MOST_FILES, MOST_TIMES_IN_A_LEG = 40, 30, 2
CALLED_AS = {"__call__": {"handler"}}  # a route is called by the layer around it
# The other hops need Kafka, MongoDB or a client; tests/integration and tests/web take orders through them.
WITH_SERVERS = ("web/", "streams/kafka/", "agents/worker.py", "agents/projector.py", "projections/runner.py",
                "projections/mongo/")  # fmt: skip


@dataclass(frozen=True)
class Hop:
    """A function on the way of an order."""

    leg: str
    file: str
    function: str

    @property
    def name(self) -> str:
        return self.function.split(".")[-1]

    @property
    def needs_servers(self) -> bool:
        return self.file.startswith(WITH_SERVERS) or (self.file, self.name) == ("projections/pipeline.py", "project")


def hops() -> list[Hop]:
    """Return the tour as it is written."""
    tour = PAGE.read_text().split("\n## Guided tour\n")[1].split("\n## ")[0]
    found, leg = [], ""
    for paragraph in tour.split("\n"):
        if paragraph.startswith("### "):
            leg = paragraph[4:]
        elif match := HOP.match(paragraph):
            found.append(Hop(leg, *match.groups()))
        else:
            assert not re.match(r"\d+\. ", paragraph), f"not a hop: {paragraph}"
    return found


TOUR = hops()
LEGS = {leg: list(some) for leg, some in groupby(TOUR, key=lambda hop: hop.leg)}


def test_the_tour_is_short() -> None:
    assert 20 < len(TOUR) <= MOST_HOPS
    assert len({hop.file for hop in TOUR}) <= MOST_FILES
    for leg, some in LEGS.items():
        often = {
            file: times for file, times in Counter(hop.file for hop in some).items() if times > MOST_TIMES_IN_A_LEG
        }
        assert not often, leg


def test_hops_cross_files() -> None:
    for some in LEGS.values():
        assert all(before.file != after.file for before, after in pairwise(some))


@cache
def definitions(file: str) -> dict[str, ast.AST]:
    """Return the functions of a file by qualified name, and its constants."""
    found: dict[str, ast.AST] = {}

    def look(node: ast.AST, within: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found[within + child.name] = child
                if isinstance(child, ast.ClassDef):
                    look(child, f"{within}{child.name}.")
            elif isinstance(child, ast.Assign | ast.AnnAssign) and not within:
                for target in child.targets if isinstance(child, ast.Assign) else [child.target]:
                    if isinstance(target, ast.Name):
                        found[target.id] = child

    look(ast.parse((ROOT / file).read_text()), "")
    return found


def used_by(hop: Hop) -> set[str]:
    """Return the names that a function uses, and the names used by other functions of its file that it calls."""
    by_name: dict[str, list[ast.AST]] = {}
    for name, node in definitions(hop.file).items():
        if not isinstance(node, ast.ClassDef):
            by_name.setdefault(name.split(".")[-1], []).append(node)
    used: set[str] = set()
    left: list[ast.AST] = [definitions(hop.file)[hop.function]]
    while left:
        for node in ast.walk(left.pop()):
            name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
            if name is not None and name not in used:
                used.add(name)
                left += by_name.get(name, [])
    return used


@pytest.mark.parametrize("hop", TOUR, ids=lambda hop: f"{hop.file}:{hop.function}")
def test_a_hop_exists(hop: Hop) -> None:
    assert hop.function in definitions(hop.file)


@pytest.mark.parametrize("leg", LEGS)
def test_each_hop_is_called_by_one_before_it(leg: str) -> None:
    """The first hop of a leg is where its process gets the message, or the request."""
    for number, hop in enumerate(LEGS[leg][1:], start=1):
        names = CALLED_AS.get(hop.name, {hop.name})
        callers = [before for before in LEGS[leg][:number] if before.file != hop.file and names & used_by(before)]
        assert callers, f"nothing before it calls {hop}"


def entered(work: Any, *arguments: Any) -> tuple[list[tuple[str, str]], Any]:
    """Return the functions of the project that a call enters, as file and qualified name, and its result."""
    seen: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(f"{ROOT}/"):
            seen.append((frame.f_code.co_filename[len(f"{ROOT}/") :], frame.f_code.co_qualname))

    sys.setprofile(note)
    try:
        result = work(*arguments)
    finally:
        sys.setprofile(None)
    return seen, result


def followed() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Take an order through what decides and projects it; yield each step's name and the functions it entered."""
    settings, log = Settings(), Log(Settings())
    orders, stock = (settings.named(topic.name) for topic in (topics.ORDER_COMMANDS, topics.INVENTORY_COMMANDS))
    log.write(stocked(stock))
    log.write(placed(orders, 1))
    for step, decide, inputs in steps(settings, orders, stock):
        for fetch in log.fetches(inputs, 1):
            seen, decided = entered(decide, fetch)
            merged, _ = entered(decided.merge)
            log.write(decided.writes)
            yield step, seen + merged
    log.begin_again()
    projection = next(each for each in PROJECTIONS if each.name == "orders")
    for fetch in log.fetches([settings.named(projection.topic.name)], 1):
        for tp, part in fetch.parts.items():
            folding = Folding(Part(projection, *tp, part.records), {})
            yield "projector", entered(folding.run)[0]
            return


STEPS = {"orders: place": 1, "inventory: reserve": 2, "orders: record": 3, "projector": 4}  # → the leg's place


def in_order(wanted: Sequence[tuple[str, str]], seen: Sequence[tuple[str, str]]) -> bool:
    """Return whether all that is wanted was seen, in that order."""
    left = iter(seen)
    return all(any(each == one for each in left) for one in wanted)


def test_an_order_takes_the_tour() -> None:
    legs = {}
    for step, seen in followed():
        legs.setdefault(step, seen)
    for step, number in STEPS.items():
        leg = [hop for hop in list(LEGS.values())[number] if not hop.needs_servers]
        assert leg, step
        wanted = [(hop.file, hop.function) for hop in leg]
        assert in_order(wanted, legs[step]), f"{step}: {[each for each in wanted if each not in legs[step]] or wanted}"
