"""The API under test: the session's own system, or a running one whose address is in `FULFILLMENT_TEST_URL`."""

import os
import sys
from asyncio.subprocess import Process, create_subprocess_exec
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest
from system import ADDRESS, Api, System, api_at, eventually

from projections.mongo.client import Mongo
from streams.runtime.settings import Settings


@pytest.fixture(scope="session")
def installation(processes: None, request: pytest.FixtureRequest) -> tuple[str, Settings]:
    """The address of the API and its settings."""
    if url := os.environ.get("FULFILLMENT_TEST_URL"):
        return url, Settings()
    system = request.getfixturevalue("system")
    return system.base, system.settings


@pytest.fixture
def address(installation: tuple[str, Settings]) -> str:
    """Where the dashboard is."""
    base = urlsplit(installation[0])
    return f"{base.scheme}://{base.netloc}/"


@pytest.fixture
async def api(installation: tuple[str, Settings]) -> AsyncIterator[Api]:
    async with api_at(installation[0]) as api:
        yield api


Started = tuple[Process, Api]


@asynccontextmanager
async def beside(system: System, name: str, offset: int, **settings: str) -> AsyncIterator[Started]:
    """Run one more api process of the system, on another port; yield it and its API once it is ready."""
    port = system.settings.http_port + offset
    env = system.env | {"FULFILLMENT_WORKER_PORT": str(port), "FULFILLMENT_INSTANCE": name} | settings
    process = await create_subprocess_exec(sys.executable, "-m", "ops.worker", "api", env=env)
    try:
        async with api_at(f"http://127.0.0.1:{port}/api/v1") as api:
            await eventually(lambda: _is_ready(api.session), bool)
            yield process, api
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _is_ready(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


@pytest.fixture
async def another(system: System) -> AsyncIterator[Started]:
    """A second api process of the system, which the test may stop."""
    async with beside(system, "another", 17) as started:
        yield started


@pytest.fixture
def faulty(system: System) -> Callable[[str, str], AbstractAsyncContextManager[Started]]:
    """Run an api of this name that injects faults (`streams/runtime/faults.py`)."""
    return lambda name, faults: beside(system, name, 15, FULFILLMENT_FAULTS=faults)


@pytest.fixture(scope="session")
async def impatient(system: System) -> AsyncIterator[Api]:
    """An api whose reads wait half a second for the read models."""
    async with beside(system, "impatient", 16, FULFILLMENT_CONSISTENCY_TIMEOUT="0.5") as (_, api):
        yield api


@pytest.fixture
async def mongo(installation: tuple[str, Settings]) -> AsyncIterator[Mongo]:
    mongo = Mongo(installation[1])
    yield mongo
    await mongo.close()


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Return ids that no other test uses."""
    run, numbers = uuid4().hex[:8], count(1)
    return lambda name: f"{name}-{run}-{next(numbers)}"


@pytest.fixture
def order() -> Callable[..., dict[str, Any]]:
    """Return the body of an order of one line, changed as asked."""

    def body(product: str = "boots", quantity: Any = 1, price: Any = "10.00", **changes: Any) -> dict[str, Any]:
        items = [{"productId": product, "quantity": quantity, "price": price}]
        return {"customerId": "c-1", "items": items, "shippingAddress": ADDRESS, "billingAddress": ADDRESS} | changes

    return body
