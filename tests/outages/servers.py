"""A Kafka and a MongoDB that tests stop and start themselves, without a supervisor that restarts them."""

import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from system import System, wait_until

from ops.stack import kafka, mongod
from ops.stack.lifeline import tied_to_parent
from streams.runtime.settings import Settings


@dataclass
class Server:
    """A server whose data survives each stop."""

    name: str
    command: tuple[str, ...]
    answers: Callable[[], bool]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it; return once it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, preexec_fn=tied_to_parent(signal.SIGKILL)
            )
        wait_until(self.answers, f"{self.name} to answer")

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Stop it with a signal; return once it is gone."""
        if self.process is not None:
            self.process.send_signal(sign)
            self.process.wait(120)


def servers_of(system: System, folder: Path) -> dict[str, Server]:
    """Return the servers that `system` is configured to use, not started yet."""
    address, place = system.settings.kafka, mongod.address(system.settings.mongo)
    assert place is not None
    controller = int(address.split(":")[1]) + 19  # the last of the system's ports
    return {
        "kafka": Server(
            "Kafka",
            kafka.command(folder / "kafka", address, controller),
            lambda: kafka.answers(Settings(kafka=address)),
            folder / "kafka.log",
        ),
        "mongod": Server(
            "MongoDB",
            mongod.command(folder / "mongo", *place),
            lambda: mongod.answers(system.settings.mongo),
            folder / "mongod.log",
        ),
    }
