"""A seeded schedule of faults: kills, stops, pauses, and workers that join and leave."""

import asyncio
import random
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil
from deliveries import NETWORKS
from system import FULFILLMENT, System, free_ports

from ops.stack.lifeline import tied_to_parent

ROLES = ("orders", "inventory", "projector")
WORKERS = (*(f"{role}-0" for role in ROLES), *(f"{role}-0" for role in ROLES), "api-0")
VICTIMS = (*WORKERS, "kafka", "mongod")
CLOSED_AFTER = str(4 / 86_400)  # days: orders are archived after seconds, and restored by commands of the load
SETTINGS = {"FULFILLMENT_CLOSED_AFTER": CLOSED_AFTER, "FULFILLMENT_WEBHOOK_NETWORKS": NETWORKS}
PAUSES = (2.0, 14.0)  # shorter and longer than the session and transaction time-outs


@dataclass
class Chaos:
    """Injects faults until `run` ends; `injected` lists them."""

    system: System
    seed: int
    victims: Sequence[str] = VICTIMS
    injected: list[str] = field(default_factory=list)
    _guests: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    async def run(self, seconds: float) -> None:
        """Inject one or two faults every few seconds; finally resume everything and end the extra workers."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        try:
            while loop.time() < end:
                await self._inject()
                await asyncio.sleep(self.random.uniform(0.5, 6))  # again during or after recovery
            await asyncio.gather(*(self._leave(name) for name in list(self._guests)))
        finally:  # after an error, some are left
            for guest in self._guests.values():
                _end(guest)

    async def _inject(self) -> None:
        async with asyncio.TaskGroup() as faults:
            for _ in range(self.random.choice([1, 1, 2])):
                faults.create_task(self._fault())

    async def _fault(self) -> None:
        kind = self.random.choice(["kill", "kill", "kill", "pause", "stop", "join", "leave"])
        victim = self.random.choice(self.victims)
        if kind == "join":
            self._join(self.random.choice(ROLES))
        elif kind == "leave" and self._guests:
            await self._leave(self.random.choice(sorted(self._guests)))
        elif kind == "pause":
            await self._pause(victim, self.random.choice(PAUSES))
        else:
            await self._signal(victim, signal.SIGTERM if kind == "stop" else signal.SIGKILL)

    async def _signal(self, name: str, sign: signal.Signals, why: str = "") -> None:
        if process := await self._process(name):
            self.injected.append(f"{sign.name} {name}{why}")
            process.send_signal(sign)

    async def _pause(self, name: str, seconds: float, why: str = "") -> None:
        if not (process := await self._process(name)):
            return
        self.injected.append(f"pause {name} {seconds:.0f} s{why}")
        process.suspend()
        try:
            await asyncio.sleep(seconds)
        finally:
            if process.is_running():
                process.resume()

    async def _process(self, name: str) -> psutil.Process | None:
        """Return the process called `name`; None while it is being restarted."""
        try:
            return await asyncio.to_thread(self.system.process, name)
        except (KeyError, TypeError, psutil.NoSuchProcess):
            return None

    def _join(self, role: str) -> None:
        """Start a guest at once: the other fault of this moment may be the same, and must see that it has joined."""
        name = f"{role}-guest"
        if name in self._guests:
            return
        self.injected.append(f"join {name}")
        environment = self.system.env | {"FULFILLMENT_WORKER_PORT": str(free_ports(1))}
        command = [*FULFILLMENT, "worker", role, "--instance", "guest"]
        nothing = subprocess.DEVNULL
        self._guests[name] = subprocess.Popen(
            command, env=environment, stdout=nothing, stderr=nothing, preexec_fn=tied_to_parent(signal.SIGKILL)
        )  # fmt: skip

    async def _leave(self, name: str) -> None:
        guest = self._guests.pop(name)
        sign = self.random.choice([signal.SIGTERM, signal.SIGKILL])
        self.injected.append(f"{sign.name} {name}")
        guest.send_signal(sign)
        try:
            await asyncio.to_thread(guest.wait, 15)
        except subprocess.TimeoutExpired:
            self.injected.append(f"{name} did not stop: SIGKILL")
        finally:
            _end(guest)


def _end(guest: "subprocess.Popen[bytes]") -> None:
    guest.kill()  # does nothing to one that has ended
    guest.wait()
