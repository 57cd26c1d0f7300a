"""Workers of two versions side by side, each started and stopped by itself, as the pods of StatefulSets are."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from threading import Event, Lock, Thread
from typing import NamedTuple

from system import System, free_ports, wait_until

from ops.stack.lifeline import tied_to_parent
from ops.stack.logs import last_lines
from streams.runtime.process import reason_in

TODAY = Path(__file__).parents[2]


class Worker(NamedTuple):
    """A process, and the folder of its code."""

    code: Path
    process: "subprocess.Popen[bytes]"


class Fleet(System):
    """An installation whose workers run the code of any folder; Kafka and MongoDB run already."""

    def __init__(self, data: Path, **overrides: str) -> None:
        super().__init__(data, **overrides)
        self.bases: list[str] = []  # addresses of the APIs that get requests
        self.ended: list[str] = []  # why workers ended that were not stopped
        self._workers: dict[str, Worker] = {}
        self._ports: dict[str, int] = {}
        self._lock, self._over = Lock(), Event()
        self._supervisor = Thread(target=self._restart_ended, daemon=True)
        self._supervisor.start()

    def fulfillment(self, code: Path, *arguments: str) -> str:
        """Run `fulfillment …` of the code in a folder; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "ops.cli", *arguments],
            env=self._environment(code), cwd=code, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"fulfillment {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, *names: str, code: Path = TODAY) -> None:
        """Start workers called ROLE-NUMBER; return once all are ready."""
        for name in names:
            self._ports.setdefault(name, free_ports(1))
            with self._lock:
                self._workers[name] = Worker(code, self._run(name, code))
        for name in names:
            wait_until(lambda name=name: self._is_ready(name), f"{name} to be ready")
            if name.startswith("api-"):
                self.bases.append(self._base(name))
                self.base = self.bases[0]

    def stop(self, *names: str) -> None:
        """Stop workers; an API gets no more requests first."""
        for name in names:
            if self._base(name) in self.bases:
                self.bases.remove(self._base(name))
        with self._lock:
            stopping = [self._workers.pop(name).process for name in names]
        for process in stopping:
            process.send_signal(signal.SIGTERM)
        for process in stopping:
            process.wait(120)

    def replace(self, name: str) -> None:
        """Stop a worker, and start today's code under its name."""
        self.stop(name)
        self.start(name)

    def down(self) -> None:
        """End all workers."""
        self._over.set()
        self._supervisor.join()
        for worker in self._workers.values():
            worker.process.kill()
            worker.process.wait()

    def _restart_ended(self) -> None:
        """Note and start again workers that ended: on a busy machine, one may give up a transaction."""
        while not self._over.wait(0.2):
            with self._lock:
                for name, worker in self._workers.items():
                    if (code := worker.process.poll()) is not None:
                        why = reason_in(last_lines(self._log(name), 1))
                        self.ended.append(f"{name} ended with {code}: {why}")
                        self._workers[name] = Worker(worker.code, self._run(name, worker.code))

    def _run(self, name: str, code: Path) -> "subprocess.Popen[bytes]":
        role, number = name.rsplit("-", 1)
        with self._log(name).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "ops.cli", "worker", role, "--instance", number],
                env=self._environment(code) | {"FULFILLMENT_WORKER_PORT": str(self._ports[name])},
                cwd=code, stdout=log, stderr=log, preexec_fn=tied_to_parent(signal.SIGKILL),
            )  # fmt: skip

    def _log(self, name: str) -> Path:
        return self.settings.data / f"{name}.log"

    def _base(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}/api/v1"

    def _environment(self, code: Path) -> dict[str, str]:
        return self.env | {"PYTHONPATH": os.fspath(code), "PYTHONDONTWRITEBYTECODE": ""}

    def _is_ready(self, name: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[name]}/readyz", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _without_lag(self) -> bool:
        """Return whether the workers that run have nothing left to handle."""
        return all(not any(self._lag(name).values()) for name in self._workers if not name.startswith("api-"))

    def _lag(self, name: str) -> dict[str, int]:
        """Return how many messages of each topic a worker has not handled."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[name]}/lag", timeout=30) as answer:
                return dict(json.load(answer)["lag"])
        except OSError:  # also a 503, while it gets other partitions
            return {"unknown": 1}
