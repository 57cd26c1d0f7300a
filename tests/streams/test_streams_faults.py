"""Injected faults: which ones exist, and that nothing happens without them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.runtime import faults
from streams.runtime.faults import Injected, UnknownFault, arm, fault

pytestmark = pytest.mark.usefixtures("processes")

ROOT = Path(__file__).parents[2]
PASSING = """
import sys
from streams.runtime import faults
faults.arm(sys.argv[1], "orders-0")
for number in range(int(sys.argv[2])):
    faults.fault("decided")
    faults.fault("committed")
    print(number, flush=True)
"""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    faults.ARMED.clear()


def passing(text: str, times: int) -> "subprocess.CompletedProcess[str]":
    """Pass two points `times` times in a process of its own."""
    start = [sys.executable, "-c", PASSING, text, str(times)]
    return subprocess.run(
        start, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
    )


def test_nothing_happens_unless_it_is_asked_for() -> None:
    arm("", "orders-0")
    fault("committed")
    arm("raise:Hold", "orders-0")
    fault("committed")
    assert list(faults.ARMED) == ["Hold"]


def test_a_bug_happens_each_time_or_at_one_passage() -> None:
    arm("raise:Hold, raise:CancelOrder@2", "orders-0")
    for _ in range(2):
        with pytest.raises(Injected, match="Hold"):
            fault("Hold")
    fault("CancelOrder")
    with pytest.raises(Injected):
        fault("CancelOrder")
    fault("CancelOrder")


@pytest.mark.parametrize("text", ["kill", "kill:nowhere", "burn:committed", "kill:committed@0", "raise:Holt", "kill:"])
def test_an_unknown_fault_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(UnknownFault, match="is not a fault"):
        arm(text, "orders-0")
    assert not faults.ARMED


def test_a_worker_refuses_to_start_with_an_unknown_one(tmp_path: Path) -> None:
    (tmp_path / "orders-0").write_text("kill:nowhere")
    for text in ("kill:nowhere", f"ask:{tmp_path}"):
        start = [sys.executable, "-m", "ops.cli", "worker", "orders"]
        environment = os.environ | {"FULFILLMENT_FAULTS": text, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(start, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == os.EX_CONFIG
        assert "'kill:nowhere' is not a fault" in done.stderr
        assert "offsets-sent" in done.stderr


def test_a_process_kills_itself_at_the_given_passage() -> None:
    done = passing("kill:committed@3", 5)
    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, ["0", "1"])


def test_a_delay_ends_after_the_step_has_begun() -> None:
    done = passing("kill:committed+500", 10_000_000)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split()[:1] == ["0"]


def test_a_file_asks_one_process_once(tmp_path: Path) -> None:
    asked = tmp_path / "orders-0"
    asked.write_text("kill:committed@2\n")
    done = passing(f"ask:{tmp_path}", 5)
    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, ["0"])
    assert not asked.exists()
    done = passing(f"ask:{tmp_path}", 5)  # its restart
    assert (done.returncode, len(done.stdout.split())) == (0, 5)


def test_a_file_is_seen_while_the_process_runs_and_is_for_one_process(tmp_path: Path) -> None:
    arm(f"ask:{tmp_path}", "orders-0")
    (tmp_path / "orders-1").write_text("raise:committed")
    fault("committed")
    (tmp_path / "orders-0").write_text("raise:committed")
    fault("decided")
    with pytest.raises(Injected):
        fault("committed")
    fault("committed")
    assert [file.name for file in tmp_path.iterdir()] == ["orders-1"]
