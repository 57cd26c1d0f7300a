"""Lines that differ are compared again, however long it takes to read their events."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from audit_world import World, place

from domain.inventory.commands import ReceiveStock
from ops.audit import plan as plans
from ops.audit import run
from ops.audit.lines import Fact, Pair
from ops.audit.parts import stages
from ops.audit.plan import RESULT, Plan
from ops.audit.report import Kind, Report
from ops.kafka import records
from ops.progress import silent
from projections.table import INVENTORY, ORDERS
from streams.messages.envelope import EventMessage
from streams.runtime.settings import Settings


class Record(NamedTuple):
    key: bytes
    value: bytes


class Topics(dict[str, list[EventMessage]]):
    """Topics in memory, each with one partition, whose commands are all handled."""

    def ends(self, _: Settings, topic: str) -> records.Offsets:
        return {0: len(self[topic])}

    def log(self, _: Settings, topic: str, start: records.Offsets) -> "Log":
        return Log(self[topic], dict(start))

    def settled(self, *_: Any) -> records.Offsets:
        return {0: 0}


class Log:
    def __init__(self, messages: list[EventMessage], positions: dict[int, int]) -> None:
        self._messages, self.positions = messages, positions

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None: ...

    def upto(self, ends: Mapping[int, int]) -> Iterator[list[Record]]:
        found, self.positions = self._messages[self.positions[0] : ends[0]], dict(ends)
        yield [Record(message.key.encode(), message.encode()) for message in found]


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    """An order of two boots, which never heard that they are allocated."""
    world = World()
    world.stock("boots", ReceiveStock(quantity=10))
    world.order("o-1", place(boots=2))
    topics = Topics({INVENTORY.topic.name: world.logs["inventory"], ORDERS.topic.name: world.logs["order"][:1]})
    monkeypatch.setattr(records, "ends", topics.ends)
    monkeypatch.setattr(records, "Log", topics.log)
    monkeypatch.setattr(records, "last_records", topics.settled)
    monkeypatch.setattr(records, "committed", topics.settled)
    return topics


def compared(folder: Path, topics: Topics, pair: Pair) -> Plan:
    """Return the plan of an audit whose parts are done; they found a line that differs."""
    shapes = {each.name: (each.shape, each.version) for each in (INVENTORY, ORDERS)}
    ends = {topic: {0: len(messages)} for topic, messages in topics.items()}
    plan = Plan({}, shapes, "", {}, repair=False, begins={topic: {0: 0} for topic in topics}, ends=ends)
    *parts, last = [part for stage in stages(plan) for part in stage]
    for part in (*parts, last):
        (folder / part.name).mkdir()
        found = {"report": Report().kept(), "pairs": [pair] if part is last else []}
        plans.write_json(folder / part.name / RESULT, found)
    return plan


async def test_a_line_that_differs_is_found_even_if_the_time_is_up_at_once(
    tmp_path: Path, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SETTLE_SECONDS", 0)
    line = Fact("boots/o-1/1", "boots", "o-1", "1", [], 0, 0)
    plan = compared(tmp_path, topics, Pair(line, line))
    report = await run.Audit(Settings(data=tmp_path, partitions=1), plan, tmp_path, silent, 1).run()
    assert {(drift.kind, drift.key) for drift in report.drifts} == {(Kind.LINE, line.id)}
    assert not report.clean
    assert not report.in_flight.total()
