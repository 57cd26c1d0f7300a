"""A client of our own HTTP API that gets an answer: it waits for outcomes, and tries again what may be tried again.

Rejected                       the API says no, with its code and sentence
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import aiohttp
import orjson
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from ops.errors import CommandFailed, Misconfigured, Unavailable
from streams.runtime.settings import Settings

T = TypeVar("T")
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
PATIENCE_SECONDS = 60.0
AGAIN = frozenset({"ALLOCATION_PENDING", "IDEMPOTENCY_KEY_IN_FLIGHT"})


class Rejected(CommandFailed):
    """The API understood the request and says no."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status, self.code = status, code


class NotYet(Exception):
    """No answer, or one that says: try again."""


class Answer(NamedTuple):
    """A body's `data`, and where the next page of it begins."""

    data: Any
    next_cursor: str | None = None


class HttpApi:
    """The API of an installation; every call may be made twice, so callers bring ids of their own."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session, self.base = session, base

    async def get(self, path: str, **parameters: str | int) -> Answer:
        """Return what is at `path`; `Rejected` with status 404 when there is nothing."""
        return await self._until_answered("GET", path, params=parameters)

    async def send(self, method: str, path: str, body: Any, **headers: str) -> Answer:
        """Send a command and return its outcome's data, however long that takes; `Rejected` when it is rejected."""
        return await self._until_answered(method, path, data=orjson.dumps(body), headers=headers)

    async def _until_answered(self, method: str, path: str, **options: Any) -> Answer:
        async for attempt in _patiently():
            with attempt:
                return await self._once(method, path, **options)
        raise AssertionError("tenacity returns or raises")

    async def _once(self, method: str, path: str, **options: Any) -> Answer:
        try:
            async with self._session.request(method, self.base + path, **options) as response:
                answer = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise NotYet(str(error) or type(error).__name__) from error
        if response.status == 202 and not isinstance(answer["data"], list):
            return await self._outcome(answer["data"]["commandId"])
        if response.status >= 500 or answer.get("error") in AGAIN:
            raise NotYet(f"{response.status} {answer.get('message')}")
        if response.status == 401:
            raise Misconfigured("The API wants a token: set FULFILLMENT_API_TOKEN to the one its workers have.")
        if response.status >= 400:
            raise Rejected(response.status, answer["error"], answer["message"])
        return Answer(answer["data"], answer.get("nextCursor"))

    async def _outcome(self, command_id: str) -> Answer:
        """Return the outcome of a command that did not come in time, if it has come since."""
        outcome = (await self._once("GET", f"/commands/{command_id}")).data
        if outcome["status"] == "accepted":
            return Answer(outcome)
        if outcome["status"] == "pending" or outcome["retryable"]:
            raise NotYet(f"command {command_id} is pending")
        raise Rejected(422, outcome["code"], outcome["message"])


def _patiently() -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(NotYet),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        stop=stop_after_delay(PATIENCE_SECONDS),
        reraise=True,
    )


@asynccontextmanager
async def http_api(settings: Settings, connections: int) -> AsyncIterator[HttpApi]:
    """Give the API at `settings.http_host:http_port`; Unavailable when it does not answer, then or later."""
    host = WILDCARDS.get(settings.http_host, settings.http_host)
    root = f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}"
    headers = {"Content-Type": "application/json"}
    if settings.api_token:
        headers["Authorization"] = f"Bearer {settings.api_token}"
    async with aiohttp.ClientSession(
        headers=headers,
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(total=30),
    ) as session:
        try:
            async with session.get(f"{root}/livez"):
                pass
            yield HttpApi(session, f"{root}/api/v1")
        except (aiohttp.ClientError, TimeoutError, NotYet) as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"The API at {root} does not answer ({why}): is `fulfillment up` running?") from error


async def each(items: Iterable[T], work: Callable[[T], Awaitable[Any]], at_once: int) -> None:
    """Do `work` for each of `items`, so many at a time; the first error ends all."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
