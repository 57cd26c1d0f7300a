"""Stopping a supervisor that was started in the background and does not become ready."""

import signal
import subprocess
import sys

import pytest

from ops.stack import background

pytestmark = pytest.mark.usefixtures("processes")

BLOCKED = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"


def test_a_supervisor_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "STOP_SECONDS", 0.1)
    with subprocess.Popen([sys.executable, "-c", BLOCKED], stdout=subprocess.PIPE) as blocked:
        assert blocked.stdout
        assert blocked.stdout.readline()
        background._stop(blocked)
        assert blocked.poll() == -signal.SIGKILL


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As after `nohup`: the terminal may close while the stack starts."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with background._interrupts() as interrupted:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupted.is_set()
            signal.raise_signal(signal.SIGTERM)
            assert interrupted.is_set()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
