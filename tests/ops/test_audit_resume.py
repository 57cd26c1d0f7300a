"""An audit in several processes gives the same result, with little memory, and after kill -9."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from system import Api, System, eventually

from ops.audit import plan as plans
from ops.audit.plan import Plan
from ops.audit.report import Report
from ops.audit.run import run
from ops.progress import Advance

KILLED = Path(__file__).with_name("audit_killed.py")
RESULTS = "*/result.json"


class Steps:
    """A progress display that only counts."""

    def __init__(self) -> None:
        self.total, self.steps = 0, list[int]()

    @contextmanager
    def __call__(self, what: str, total: int) -> Iterator[Advance]:
        self.total = total

        def advance(steps: int = 1) -> None:
            self.steps.append(steps)

        yield advance


@pytest.fixture
async def busy(system: System, api: Api) -> System:
    """Return the system with some orders and nothing in flight."""
    await api.stock("audit-resumed", 100)
    for _ in range(5):
        placed = await api.place(("audit-resumed", 2))
        await api.order(placed["id"], lambda order: order["allocationStatus"] == "ALLOCATED")
    await asyncio.to_thread(system.quiet)
    return system


def found(report: Report) -> dict[str, Any]:
    """Return everything that two audits of the same events have in common."""
    return report.as_json() | {"seconds": None, "eventsPerSecond": None}


async def test_processes_with_little_memory_find_the_same(busy: System) -> None:
    alone, steps = await run(busy.settings, repair=False, processes=1), Steps()
    together = await run(busy.settings, repair=False, progress=steps, limit=0, processes=2)
    assert found(together) == found(alone)
    assert together.events > 0
    assert sum(steps.steps) == steps.total
    assert not [*(busy.settings.data / "audit").glob("*[!k]")], "nothing is left"


def killed(system: System, folder: Path) -> list[int]:
    """Begin an audit that is killed with -9; return the processes that it had."""
    pids = folder / "pids"
    done = subprocess.run([sys.executable, str(KILLED), str(pids)], env=system.env, timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL
    return list(json.loads(pids.read_text()))


def is_running(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


async def ended(pids: list[int]) -> None:
    async def running() -> list[int]:
        return [pid for pid in pids if is_running(pid)]

    await eventually(running, lambda left: not left)


async def test_a_killed_audit_is_resumed_with_what_is_left(busy: System, tmp_path: Path) -> None:
    expected = found(await run(busy.settings, repair=False, processes=1))
    await ended(await asyncio.to_thread(killed, busy, tmp_path))
    folder, told, steps = busy.settings.data / "audit", list[str](), Steps()
    done = {file.parent.name: file.stat().st_mtime_ns for file in folder.glob(RESULTS)}
    plan = plans.saved(folder)
    assert plan is not None
    assert done
    report = await run(busy.settings, repair=False, progress=steps, resume=True, tell=told.append, processes=1)
    assert found(report) == expected
    assert told == []
    assert steps.steps[0] == sum(
        plan.ends[topic][number] - plan.begins[topic][number]
        for topic, ends in plan.ends.items()
        for number in ends
        if f"{topic}-{number}" in done
    )
    assert sum(steps.steps) == steps.total


async def test_results_for_other_topics_are_not_used(busy: System, tmp_path: Path) -> None:
    await ended(await asyncio.to_thread(killed, busy, tmp_path))
    folder, told = busy.settings.data / "audit", list[str]()
    saved = json.loads((folder / plans.PLAN).read_text())
    saved["topic_ids"] = {name: f"other-{each}" for name, each in saved["topic_ids"].items()}
    (folder / plans.PLAN).write_text(json.dumps(saved))
    for file in folder.glob(RESULTS):
        result = json.loads(file.read_text())
        result["report"]["events"] += 1_000_000
        file.write_text(json.dumps(result))
    report = await run(busy.settings, repair=False, resume=True, tell=told.append, processes=1)
    assert report.events < 1_000_000
    assert len(told) == 1
    done = await asyncio.to_thread(busy.run, "audit", "--resume", "--json", check=False)
    assert "it starts from the beginning" in done.stderr
    assert json.loads(done.stdout)["events"] == report.events


def test_only_an_audit_of_the_same_database_is_resumed() -> None:
    ends = {"order-events": {0: 7}}
    plan = Plan({"order-events": "id"}, {"orders": (3, 1)}, "mongodb://a shop", {"orders": "10:00"}, False, ends, ends)
    others = [replace(plan, database="mongodb://b shop"), replace(plan, built={"orders": "11:00"})]
    assert all(other.identity != plan.identity for other in others)
    assert replace(plan, ends={"order-events": {0: 9}}).identity == plan.identity
