"""The API under test: the session's own system, or a running one whose address is in `FULFILLMENT_TEST_URL`."""

import os
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest
from system import ADDRESS, Api

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
    async with aiohttp.ClientSession(base_url=installation[0] + "/") as session:
        yield Api(session)


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
