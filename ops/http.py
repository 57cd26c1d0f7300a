"""A client of this service's HTTP API that waits for outcomes and retries.

Rejected                       the API rejects the request, with a code and a sentence
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import aiohttp
import orjson
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from ops.errors import CommandFailed, Misconfigured, Unavailable
from streams.access.denials import MissingScope
from streams.runtime.settings import Settings

T = TypeVar("T")
Lines = AsyncGenerator[Any, None]
Parameter = str | int | Sequence[str]  # several values repeat the parameter
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # addresses to listen on → addresses to connect to
PATIENCE_SECONDS = 60.0
STREAM_SECONDS = 120.0  # between two lines of a streamed answer
RETRYABLE = frozenset({"ALLOCATION_PENDING", "IDEMPOTENCY_KEY_IN_FLIGHT"})


class Rejected(CommandFailed):
    """The API understood the request and rejects it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status, self.code = status, code


class NotYet(Exception):
    """There is no answer, or one that asks for a retry."""


class Answer(NamedTuple):
    """The `data` of a response, and the cursor of the next page."""

    data: Any
    next_cursor: str | None = None


class HttpApi:
    """The API of an installation. Every request may be sent twice, so callers choose the ids of their commands."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session, self.base = session, base

    async def get(self, path: str, **parameters: Parameter) -> Answer:
        """Return the resource at `path`; `Rejected` with status 404 if it does not exist."""
        return await self._until_answered("GET", path, params=parameters)

    async def head(self, path: str, **parameters: Parameter) -> Mapping[str, str]:
        """Return the headers of the resource at `path`; empty unless the answer is a 200."""
        async with self._session.head(self.base + path, params=parameters) as response:
            return response.headers if response.status == 200 else {}

    async def send(self, method: str, path: str, body: Any, **headers: str) -> Answer:
        """Send a command, wait for its outcome and return its data; `Rejected` if the command is rejected."""
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
        _raise_for(method, response.status, answer)
        return Answer(answer["data"], answer.get("nextCursor"))

    async def lines(self, method: str, path: str, data: Any, headers: Mapping[str, str], **query: str) -> Lines:
        """Yield the lines of a streamed answer, as JSON; raise `Unavailable` if it is incomplete."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=STREAM_SECONDS)
        options: Any = {"data": data, "headers": headers, "params": query, "timeout": timeout}
        try:
            async with self._session.request(method, self.base + path, **options) as response:
                if response.status != 200:
                    _raise_for(method, response.status, orjson.loads(await response.read()))
                async for line in response.content:
                    yield orjson.loads(line)
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError, NotYet) as error:
            raise Unavailable(f"The answer broke off ({error}). Run the same command again to continue.") from error

    async def _outcome(self, command_id: str) -> Answer:
        """Return the outcome of a command whose request timed out, if it has been decided since."""
        outcome = (await self._once("GET", f"/commands/{command_id}")).data
        if outcome["status"] == "accepted":
            return Answer(outcome)
        if outcome["status"] == "pending" or outcome["retryable"]:
            raise NotYet(f"command {command_id} is pending")
        raise Rejected(422, outcome["code"], outcome["message"])


def _raise_for(method: str, status: int, answer: Any) -> None:
    """Raise the error that an answer reports."""
    if status >= 500 or status == 429 or answer.get("error") in RETRYABLE:
        raise NotYet(f"{status} {answer.get('message')}")
    if status == 401:
        raise Misconfigured("The API requires a token: set FULFILLMENT_API_TOKEN to one that is valid there.")
    if answer.get("error") == MissingScope.code:
        raise Misconfigured(f"The API denies {method}: {answer['message']}. Set FULFILLMENT_API_TOKEN to another one.")
    if status >= 400:
        raise Rejected(status, answer["error"], answer["message"])


def _patiently() -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(NotYet),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        stop=stop_after_delay(PATIENCE_SECONDS),
        reraise=True,
    )


def address(host: str, port: int) -> str:
    """Return the URL at which to reach a server that listens on `host`."""
    host = WILDCARDS.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


@asynccontextmanager
async def http_api(settings: Settings, connections: int) -> AsyncIterator[HttpApi]:
    """Give the API at `settings.http_host:http_port`; Unavailable if it does not answer, at first or later."""
    root = address(settings.http_host, settings.http_port)
    headers = {"Content-Type": "application/json"}
    if token := settings.secret("api_token"):
        headers["Authorization"] = f"Bearer {token}"
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
            system = error.strerror if isinstance(error, OSError) else None  # without the number before it
            why = system or str(error) or type(error).__name__
            raise Unavailable(f"The API at {root} does not answer ({why}). Start it with `fulfillment up`.") from error


async def each(items: Iterable[T], work: Callable[[T], Awaitable[Any]], at_once: int) -> None:
    """Do `work` for each of `items`, at most `at_once` at the same time; the first error stops all of them."""
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
