"""The whole system for tests: the real stack with its own ports and directory, driven as users drive it."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import psutil

from ops.kafka.records import ends
from ops.stack.status import collect
from streams.runtime.settings import Settings
from streams.topics import TOPICS

T = TypeVar("T")
PREFIX = "FULFILLMENT_"
FULFILLMENT = [sys.executable, "-m", "ops.cli"]
ADDRESS = {"street": "1 High St", "city": "Bath", "state": "SOM", "zipcode": "BA1", "country": "GB"}


PATIENCE_SECONDS = 180.0  # a condition may take long on a busy machine; one that never holds fails after this
# On a busy machine, a decision may take longer than a client waits by default: no answer is 202 or 504 because of that.
PATIENT = {"FULFILLMENT_COMMAND_TIMEOUT": "60", "FULFILLMENT_CONSISTENCY_TIMEOUT": "60"}
PORTS = 3_000  # per lane: `pytest -n 2` runs two processes, which need different ports
LANE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
_untouched = random.randrange(PORTS)  # the first port to return next; another run on this machine begins elsewhere


def free_ports(count: int) -> int:
    """Return the first of `count` unused ports in a row, below those the kernel hands to connections.

    No port is returned twice in a run of the tests: its owner may not listen yet, or not at the moment.
    """
    global _untouched
    while True:
        first = _untouched if _untouched + count <= PORTS else 0
        _untouched = first + count
        ports = range(20_000 + LANE * PORTS + first, 20_000 + LANE * PORTS + _untouched)
        if all(map(_is_free, ports)):
            return ports[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


class System:
    """A running installation: its settings, its processes, and its API."""

    options: tuple[str, ...] = ()  # that `fulfillment up` gets

    def __init__(self, data: Path, **overrides: str) -> None:
        first = free_ports(20)
        self.env = os.environ | {
            "FULFILLMENT_KAFKA": f"127.0.0.1:{first}",
            "FULFILLMENT_MONGO": f"mongodb://127.0.0.1:{first + 1}",
            "FULFILLMENT_HTTP_PORT": str(first + 2),
            "FULFILLMENT_DATA": str(data),
            **overrides,
        }
        given = {name.removeprefix(PREFIX).lower(): text for name, text in self.env.items() if name.startswith(PREFIX)}
        self.settings = Settings(**given)  # type: ignore[arg-type]
        self.base = f"http://127.0.0.1:{first + 2}/api/v1"

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `fulfillment …` and return what it printed."""
        done = subprocess.run(
            [*FULFILLMENT, *arguments], env=self.env, input=stdin, capture_output=True, text=True, timeout=300
        )
        if check and done.returncode:
            raise AssertionError(f"fulfillment {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def up(self) -> None:
        """Start it; return once everything is ready."""
        self.run("up", "--detach", *self.options)

    def down(self) -> None:
        """Stop it."""
        self.run("down")

    def status(self) -> dict[str, Any]:
        """Return the output of `fulfillment status --json`, without starting a process for it."""
        return status_of(self.settings)

    def pid(self, name: str) -> int | None:
        """Return the id of the process called `name`; None while it is being restarted."""
        return next((each["pid"] or None for each in self.status()["processes"] if each["name"] == name), None)

    def process(self, name: str) -> psutil.Process:
        """Return the process called `name`, such as `orders-0`."""
        # A restarting process has no pid, for which psutil would return the caller's own process.
        found = {process["name"]: process["pid"] for process in self.status()["processes"] if process["pid"]}
        return psutil.Process(found[name])

    def kill(self, name: str, sign: int = signal.SIGKILL) -> int:
        """Send a signal to a process of the system, return its id."""
        process = self.process(name)
        process.send_signal(sign)
        return int(process.pid)

    def quiet(self) -> None:
        """Wait until everything is ready and nothing is left to handle."""
        wait_until(self._is_quiet, "the system to be ready with no lag")

    def _is_quiet(self) -> bool:
        """Nothing lags, and nothing was written while the lags were asked for, one after the other."""
        if not self._without_lag():
            return False
        before = self._ends()
        return self._without_lag() and self._ends() == before

    def _without_lag(self) -> bool:
        status = self.status()
        lags = [lag for topics in status["lag"].values() for lag in topics.values()]
        return bool(status["ready"]) and not any(lags) and len(status["lag"]) >= 3 and "unassigned" not in status

    def _ends(self) -> list[dict[int, int]]:
        return [ends(self.settings, topic.name) for topic in TOPICS if topic.cleanup == "delete"]


def status_of(settings: Settings) -> dict[str, Any]:
    """Return the output of `fulfillment status --json`, without starting a process for it."""
    with ThreadPoolExecutor(1) as thread:  # the caller may be running an event loop
        return dict(json.loads(thread.submit(asyncio.run, collect(settings)).result().as_json()))


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Wait until a condition of another process holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE_SECONDS:.0f} s for {what}")
        time.sleep(0.1)


async def eventually(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], pause: float = 0.05) -> T:
    """Ask every `pause` seconds until the answer holds; return it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds(answer := await ask()):
        if time.monotonic() > end:
            raise AssertionError(f"after {PATIENCE_SECONDS:.0f} s still {answer!r}")
        await asyncio.sleep(pause)
    return answer


@asynccontextmanager
async def api_at(base: str) -> AsyncIterator["Api"]:
    """Yield the API whose addresses begin with `base`, such as `System.base`, to a client of its own."""
    async with aiohttp.ClientSession(base_url=base + "/") as session:
        yield Api(session)


class Api:
    """The HTTP API, as a client sees it: answers are (status, JSON, headers)."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any, Any]:
        """Send a request to `path` below /api/v1."""
        if body is not None:
            options["json"] = body
        async with self.session.request(method, path.lstrip("/"), **options) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None, response.headers

    async def stock(self, product: str, quantity: int) -> None:
        """Make a quantity of a product available."""
        status, answer, _ = await self("PUT", f"/inventory/{product}", {"quantity": quantity})
        assert status == 200, answer

    async def place(self, *lines: tuple[str, int], **more: Any) -> dict[str, Any]:
        """Place an order of (product, quantity) lines at 10.00 each; return the answer's data."""
        items = [{"productId": product, "quantity": quantity, "price": "10.00"} for product, quantity in lines]
        body = {"customerId": "c-1", "items": items, "shippingAddress": ADDRESS, "billingAddress": ADDRESS} | more
        status, answer, _ = await self("POST", "/orders", body)
        assert status in (201, 202), answer  # 202: durable, while another worker takes over its role
        return dict(answer["data"])

    async def order(self, order_id: str, holds: Callable[[Any], bool] = bool) -> dict[str, Any]:
        """Return an order once `holds` is true of it."""

        async def ask() -> Any:
            status, answer, _ = await self("GET", f"/orders/{order_id}")
            return answer["data"] if status == 200 else None

        found = await eventually(ask, lambda order: order is not None and holds(order))
        assert found is not None
        return dict(found)
