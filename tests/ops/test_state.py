"""The lock of a data directory, and its processes that still run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ops.errors import CommandFailed
from ops.stack import state
from ops.stack.down import down
from ops.stack.state import Process, Stack
from streams.runtime.process import ENDS
from streams.runtime.settings import Settings

HOLDS = "import signal, sys; from pathlib import Path; from ops.stack import state\nwith state.locked(Path(sys.argv[1])): print(); signal.pause()"  # noqa: E501
SLEEPS = (sys.executable, "-c", "import signal; signal.pause()")


@pytest.mark.usefixtures("processes")
def test_a_directory_has_one_supervisor_and_the_lock_of_a_killed_one_does_not_block(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        assert state.supervisor(tmp_path) == holder.pid
        with pytest.raises(CommandFailed, match=f"in use.*pid {holder.pid}.*fulfillment down"), state.locked(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert state.supervisor(tmp_path) is None
        with state.locked(tmp_path):
            assert state.supervisor(tmp_path) == os.getpid()


def test_a_written_state_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    stack = Stack(pid=1, host="127.0.0.1", processes=[Process(name="kafka", role="kafka", pid=2, port=9092)])
    state.write(stack, tmp_path)
    assert state.read(tmp_path) == stack
    assert state.state_file(tmp_path).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", '{"pid": "no"}'])
def test_a_broken_state_file_counts_as_missing(tmp_path: Path, text: str) -> None:
    state.state_file(tmp_path).write_text(text)
    assert state.read(tmp_path) is None


@pytest.mark.usefixtures("processes")
def test_leftovers_are_ended_and_strangers_with_their_pid_are_not(tmp_path: Path) -> None:
    left, stranger = psutil.Popen(SLEEPS), psutil.Popen(SLEEPS)
    try:
        records = [
            Process(name="a", role="orders", pid=left.pid, started=state.started(left)),
            Process(name="b", role="orders", pid=stranger.pid, started=1.0),
        ]
        state.write(Stack(pid=1, host="127.0.0.1", processes=records), tmp_path)
        assert down(Settings(data=tmp_path)) == 1
        assert (left.is_running(), stranger.is_running()) == (False, True)
        assert state.read(tmp_path) is None
    finally:
        for process in (left, stranger):
            process.kill() if process.is_running() else None
        stranger.wait()


def test_a_process_is_recognised_after_the_clock_has_jumped(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Process(name="a", role="orders", pid=os.getpid(), started=state.started(psutil.Process()))
    boot_time = psutil._pslinux.boot_time
    for seconds in (3600, -3600):  # the kernel says when it booted by the clock it has now
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda seconds=seconds: boot_time() + seconds)
        assert state.running(record) is not None


def test_nothing_to_stop_is_fine(tmp_path: Path) -> None:
    assert down(Settings(data=tmp_path / "never")) == 0


def test_the_last_words_of_a_worker_are_shown_without_their_frame() -> None:
    line = "2026-11-30 03:12:03,456 CRITICAL streams.runtime.process: topic x is gone; run `fulfillment topics adopt`"
    said = f"{line}{ENDS}"
    record = Process(name="projector-0", role="projector", restarts=2, code=os.EX_CONFIG, said=said)
    assert record.hopeless == "topic x is gone; run `fulfillment topics adopt`"
    assert not record.model_copy(update={"code": 70}).hopeless, "a bug may not come again"
    assert not record.model_copy(update={"restarts": 1}).hopeless
