"""Server-sent events: filtered, resumed, cut off with a reason, a thousand at once, and ended with the process."""

import asyncio
import json
import resource
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from system import Api

from web.sse.bookmark import decode, encode
from web.sse.event import StreamedEvent
from web.sse.listeners import QUEUE_BYTES, Listener, Listeners, Wanted, wake
from web.sse.rates import Rates
from web.sse.recent import MOST_EVENTS, Recent

Message = dict[str, str]


async def messages(response: aiohttp.ClientResponse) -> AsyncIterator[Message]:
    """Yield what a stream says: `event`, `data` and `id` of each message that has data."""
    message: Message = {}
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            message[name] = value
        elif "data" in message:
            yield message
            message = {}


@asynccontextmanager
async def listening(api: Api, last: str | None = None, **query: str) -> AsyncIterator[AsyncIterator[Message]]:
    headers = {"Last-Event-ID": last} if last else {}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=180)
    async with api.session.get("events", params=query, headers=headers, timeout=timeout) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield messages(response)


async def take(stream: AsyncIterator[Message], count: int) -> list[Message]:
    async with asyncio.timeout(180):
        return [await anext(stream) for _ in range(count)]


async def test_events_of_an_order_are_streamed_with_their_positions(api: Api, unique: Callable[[str], str]) -> None:
    product, order = unique("boots"), unique("o")
    await api.stock(product, 5)
    async with listening(api, subject=order) as stream:
        await api.place((product, 2), orderId=order)
        found = await take(stream, 3)
    events = {each["event"]: json.loads(each["data"]) for each in found}  # the two topics are read in any order
    assert events.keys() == {"OrderPlaced", "StockReserved", "AllocationRecorded"}
    placed = events["OrderPlaced"]
    assert (placed["type"], placed["subject"], placed["sequence"]) == ("OrderPlaced", order, 1)
    assert placed["kafkatopic"] == "order-events"
    assert placed["kafkaoffset"] >= 0


async def test_filters_select_events(api: Api, unique: Callable[[str], str]) -> None:
    product, customer, order, other = unique("boots"), unique("ada"), unique("o"), unique("o")
    await api.stock(product, 9)
    async with (
        listening(api, types="OrderPlaced,OrderHeld", customerId=customer) as theirs,
        listening(api, aggregate="inventory", subject=product) as stock,
    ):
        await api.place((product, 1), orderId=other)
        await api.place((product, 1), orderId=order, customerId=customer)
        await api("POST", f"/orders/{order}/hold", {"reason": "fraud check"})
        assert [each["event"] for each in await take(theirs, 2)] == ["OrderPlaced", "OrderHeld"]
        assert {each["event"] for each in await take(stock, 2)} == {"StockReserved"}


async def test_a_client_that_reconnects_gets_every_event_once(api: Api, unique: Callable[[str], str]) -> None:
    product, order = unique("boots"), unique("o")
    await api.stock(product, 5)
    async with listening(api, subject=order, aggregate="order") as stream:
        await api.place((product, 1), orderId=order)
        first = await take(stream, 2)
    await api("POST", f"/orders/{order}/hold", {"reason": "one"})
    await api("DELETE", f"/orders/{order}/hold")
    async with listening(api, last=first[0]["id"], subject=order, aggregate="order") as stream:
        await api("POST", f"/orders/{order}/hold", {"reason": "two"})
        again = await take(stream, 4)
    assert [json.loads(each["data"])["sequence"] for each in again] == [2, 3, 4, 5]


async def test_the_newest_events_can_come_first(api: Api, unique: Callable[[str], str]) -> None:
    product, order = unique("boots"), unique("o")
    await api.stock(product, 5)
    async with listening(api, subject=order, aggregate="order", recent="1") as stream:
        await api.place((product, 1), orderId=order)
        assert len(await take(stream, 2)) == 2
    async with listening(api, subject=order, aggregate="order", recent="1") as stream:
        assert (await take(stream, 1))[0]["event"] == "AllocationRecorded"


async def test_from_the_beginning_everything_is_read_from_kafka(
    api: Api, unique: Callable[[str], str], installation: tuple[str, Any]
) -> None:
    product, order = unique("boots"), unique("o")
    await api.stock(product, 5)
    await api.place((product, 1), orderId=order)
    beginning = encode([0] * (2 * installation[1].partitions), installation[1].partitions)
    async with listening(api, last=beginning, subject=order) as stream:
        assert (await take(stream, 3))[0]["event"]


@pytest.mark.parametrize(
    ("query", "last", "field"),
    [
        ({"types": "OrderEaten"}, None, "types"),
        ({"aggregate": "shop"}, None, "aggregate"),
        ({"recent": "many"}, None, "recent"),
        ({}, "1.2-3.4", "Last-Event-ID"),
        ({}, "x", "Last-Event-ID"),
        ({}, "-".join([".".join(["99999999"] * 8)] * 2), "Last-Event-ID"),
    ],
)
async def test_invalid_parameters_are_refused(api: Api, query: Any, last: str | None, field: str) -> None:
    status, answer, _ = await api("GET", "/events", params=query, headers={"Last-Event-ID": last} if last else {})
    assert (status, list(answer["errors"])) == (400, [field])


async def test_commands_are_answered_while_a_thousand_clients_listen(api: Api, unique: Callable[[str], str]) -> None:
    """All of them hear of the order, over raw sockets, and a command in the middle of it is answered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4_000)), hard))
    product, order = unique("boots"), unique("o")
    await api.stock(product, 5)
    place = urlsplit(str(api.session._base_url))
    request = f"GET /api/v1/events?subject={order} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    async def listen(turns: asyncio.Semaphore) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with turns:
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(request)
            assert b" 200 " in await reader.readline()
            await reader.readuntil(b"retry: 2000")
            return reader, writer

    try:
        async with asyncio.timeout(300):
            turns = asyncio.Semaphore(50)
            clients = await asyncio.gather(*(listen(turns) for _ in range(1_000)))
            await api.place((product, 1), orderId=order)
            status, _, _ = await api("POST", f"/orders/{order}/hold", {"reason": "in the middle"})
            assert status == 200
            heard = await asyncio.gather(*(reader.readuntil(b"in the middle") for reader, _ in clients))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(heard) == 1_000
    assert all(text.count(b"event: OrderPlaced") == 1 for text in heard)
    for _, writer in clients:
        writer.close()


def event(number: int, slot: int = 0, message: bytes = b"event: x\n\n") -> StreamedEvent:
    return StreamedEvent(slot, number, "OrderHeld", "order", f"o-{number}", f"o-{number}", None, 0.0, 0.0, message)


async def test_a_slow_client_is_disconnected_with_a_reason() -> None:
    listeners, slow, quick = Listeners(), Listener(Wanted()), Listener(Wanted())
    listeners.add(slow)
    listeners.add(quick)
    big = b"x" * (QUEUE_BYTES // 2 + 1)
    for number in range(2):
        await wake(listeners.tell([(event(number), None, big)]))
        assert await quick.take(1) == big
    assert slow.closed is not None
    assert "too slow" in slow.closed
    assert quick.closed is None
    assert await slow.take(1) == big  # queued before
    assert await slow.take(1) == b""


def test_recent_events_are_bounded_and_know_their_first_position() -> None:
    recent = Recent(partitions=1, position=[10, 0])
    for number in range(10, 20):
        recent.add(event(number))
    assert recent.has([15, 0])
    assert [sent.event.offset for sent in recent.after([17, 0])] == [17, 18, 19]
    assert decode(recent.id, 1) == (20, 0)
    for number in range(MOST_EVENTS):
        recent.add(event(number, slot=1))
    assert not recent.has([15, 0])
    assert recent.has([20, 0])


async def test_a_stopping_process_closes_its_streams_with_a_reason(another: tuple[Process, Api]) -> None:
    process, api = another
    async with listening(api) as stream:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(180):
            last = [message async for message in stream][-1]
    assert last["event"] == "closed"
    assert "stopping" in json.loads(last["data"])["reason"]
    assert await asyncio.wait_for(process.wait(), 120) == 0


def test_rates_include_the_time_since_which_they_are_complete() -> None:
    def event(slot: int, seconds: float) -> StreamedEvent:
        return StreamedEvent(slot, 0, "OrderPlaced", "order", "o", "o", "c", seconds, 0.01, b"")

    whole, cut = Rates(), Rates(cut=[1, 2])
    for rates in (whole, cut):
        for slot, seconds in ((0, 1000.0), (1, 1010.0), (2, 1020.0), (1, 1030.0)):
            rates.add(event(slot, seconds))
    assert whole.as_json(1030.0)["knownFrom"] == 0
    assert cut.as_json(1030.0)["knownFrom"] == 1020
