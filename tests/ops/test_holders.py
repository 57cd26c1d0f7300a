"""A supervisor whose files were deleted or moved while it runs is found, named and stopped."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from ops.cli import cli
from ops.errors import CommandFailed
from ops.stack import state
from ops.stack.down import down
from ops.stack.holders import lock_file
from ops.stack.state import Process, Stack
from streams.runtime.settings import Settings

pytestmark = pytest.mark.usefixtures("processes")

SUPERVISES = """
import signal, subprocess, sys
from pathlib import Path
from ops.stack import state
with state.locked(Path(sys.argv[1])):
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    print(child.pid, flush=True)
    signal.pause()
"""

LOOKS = """
import fcntl, signal, sys
fcntl.flock(open(sys.argv[1]), fcntl.LOCK_SH)
print(flush=True)
signal.pause()
"""


@contextmanager
def supervising(data: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a supervisor of `data` that leaves its child process running."""
    command = [sys.executable, "-c", SUPERVISES, str(data)]
    environment = os.environ | {"FULFILLMENT_DATA": str(data)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        child = psutil.Process(int(process.stdout.readline()))
        try:
            yield process
        finally:
            process.kill()
            if child.is_running():
                child.kill()


def refused(data: Path) -> str:
    with pytest.raises(CommandFailed) as error, state.locked(data):
        pass
    return str(error.value)


def test_a_deleted_directory_does_not_hide_its_supervisor(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with supervising(data) as process:
        (child,) = psutil.Process(process.pid).children()
        shutil.rmtree(data)
        assert state.supervisors(data) == [process.pid]
        said = refused(data)
        assert all(part in said for part in (f"pid {process.pid}", "deleted or moved", "`fulfillment down`"))
        assert "\n" not in said
        shown = CliRunner().invoke(cli, ["status"], env={"FULFILLMENT_DATA": str(data), "COLUMNS": "200"})
        assert (shown.exit_code, f"pid {process.pid}" in shown.stderr) == (os.EX_UNAVAILABLE, True)
        assert down(Settings(data=data)) == 2
        assert process.wait(120) == 0
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert state.supervisors(data) == []
    with state.locked(data):
        assert state.supervisors(data) == [os.getpid()]


def test_a_moved_directory_does_not_either(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    with supervising(data) as process:
        data.rename(elsewhere)
        assert state.supervisors(data) == state.supervisors(elsewhere) == [process.pid]
        assert f"pid {process.pid}" in refused(data)
        assert f"pid {process.pid}" in refused(elsewhere)
        assert down(Settings(data=elsewhere)) == 2


@pytest.mark.parametrize("written", ["", "no pid", "{1}", "\x00\x00\x00"])
def test_the_content_of_the_files_is_not_trusted(tmp_path: Path, written: str) -> None:
    bystander = psutil.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        with supervising(tmp_path) as process:
            (tmp_path / "stack.lock").write_text(written.format(0, bystander.pid))
            state.state_file(tmp_path).write_bytes(b'{"pid": 1, \xff' + written.encode())
            assert state.supervisors(tmp_path) == [process.pid]
            assert f"pid {process.pid}" in refused(tmp_path)
            assert down(Settings(data=tmp_path)) == 2
            assert process.wait(120) == 0
        assert bystander.is_running()
    finally:
        bystander.kill()
        bystander.wait()


def test_where_nothing_may_be_written_it_is_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def read_only(path: object, flags: int, *more: int) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(30, "Read-only file system")
        return opened(path, flags, *more)  # type: ignore[arg-type]

    with supervising(tmp_path) as process:
        monkeypatch.setattr(os, "open", read_only)
        assert state.supervisors(tmp_path) == [process.pid]
        assert "is not writable" in refused(tmp_path)
        monkeypatch.undo()
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0


def test_down_twice_and_at_once_ends_it_once(tmp_path: Path) -> None:
    with supervising(tmp_path) as process:
        command = [sys.executable, "-m", "ops.cli", "down"]
        environment = os.environ | {"FULFILLMENT_DATA": str(tmp_path)}
        both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        said = [each.communicate(timeout=120)[0] for each in both]
        assert [each.returncode for each in both] == [0, 0]
        assert "stopped 2 processes\n" in said
        # the second signal may find it at its very end, when Python no longer handles signals
        assert process.wait(120) in (0, -signal.SIGTERM)
    assert down(Settings(data=tmp_path)) == 0


@contextmanager
def looking(data: Path) -> Iterator[int]:
    """Run a command that is checking whether a supervisor of `data` runs."""
    with subprocess.Popen([sys.executable, "-c", LOOKS, str(lock_file(data))], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def test_a_command_that_looks_at_the_same_time_is_not_taken_for_a_supervisor(tmp_path: Path) -> None:
    lock_file(tmp_path).write_text("1")
    with looking(tmp_path) as first, looking(tmp_path) as second:
        assert state.supervisors(tmp_path) == []
        assert down(Settings(data=tmp_path)) == 0
        assert psutil.pid_exists(first)
        assert psutil.pid_exists(second)


def test_a_supervisor_starts_while_a_command_looks(tmp_path: Path) -> None:
    lock_file(tmp_path).touch()
    with looking(tmp_path) as pid:
        gone = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
        gone.start()
        with state.locked(tmp_path):
            assert state.supervisors(tmp_path) == [os.getpid()]
        gone.join()


# --- restart


def restart(data: Path, *roles: str) -> tuple[int, str]:
    shown = CliRunner().invoke(cli, ["restart", *roles], env={"FULFILLMENT_DATA": str(data)})
    return shown.exit_code, shown.stderr


def test_only_running_workers_can_be_restarted(tmp_path: Path) -> None:
    code, said = restart(tmp_path, "stock")
    assert (code, "no role 'stock': choose from orders, inventory" in said) == (os.EX_CONFIG, True)
    code, said = restart(tmp_path, "orders")
    assert (code, "Nothing is running in" in said, "`fulfillment up`" in said) == (os.EX_UNAVAILABLE, True, True)
    with supervising(tmp_path) as process:
        code, said = restart(tmp_path)
        assert (code, f"does not list the processes of pid {process.pid}" in said) == (os.EX_UNAVAILABLE, True)
        stack = Stack(pid=process.pid, host="127.0.0.1", processes=[Process(name="api-0", role="api")])
        state.write(stack, tmp_path)
        assert "is still starting" in restart(tmp_path)[1]
        state.write(stack.model_copy(update={"phase": "ready"}), tmp_path)
        code, said = restart(tmp_path, "orders")
        assert (code, said) == (os.EX_CONFIG, "No worker of orders runs in this stack, only api.\n")
