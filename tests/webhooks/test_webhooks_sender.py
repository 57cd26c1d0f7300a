"""One request to a real receiver on this machine: one that is slow, dead, redirecting, or answers without end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from webhook_receiver import never, receiving

from streams.runtime.settings import Settings
from webhooks.sender import MOST_ANSWER, Attempt, Sender

BODY = b'{"type":"OrderPlaced"}'


@asynccontextmanager
async def sending(**settings: object) -> AsyncIterator[Sender]:
    sender = Sender(Settings(**({"webhook_networks": "127.0.0.0/8"} | settings)))  # type: ignore[arg-type]
    try:
        yield sender
    finally:
        await sender.close()


async def test_an_event_arrives_with_its_headers() -> None:
    async with receiving() as receiver, sending() as sender:
        attempt = await sender.send(receiver.url, BODY, {"webhook-id": "1", "Content-Type": "application/json"})
        (headers, body), *_ = receiver.requests
    assert (attempt.error, attempt.status) == (None, 200)
    assert body == BODY
    assert headers["webhook-id"] == "1"
    assert headers["user-agent"] == "order-fulfillment-webhooks"


async def test_every_other_answer_is_a_failure() -> None:
    async with receiving() as receiver, sending() as sender:
        for status in (204, 400, 410, 500):
            receiver.answer = lambda _, status=status: status  # type: ignore[misc]
            attempt = await sender.send(receiver.url, BODY, {})
            assert (attempt.error is None, attempt.is_gone) == (status == 204, status == 410)


async def test_a_redirect_is_not_followed() -> None:
    async def elsewhere() -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": receiver.url + "/other"})

    async with receiving() as receiver, sending() as sender:
        receiver.answer = lambda _: elsewhere()
        attempt = await sender.send(receiver.url, BODY, {})
        assert len(receiver.requests) == 1
    assert attempt.error == "the receiver answered 302; redirects are not followed"


async def test_retry_after_is_read() -> None:
    async def later() -> web.StreamResponse:
        return web.Response(status=503, headers={"Retry-After": "120"})

    async with receiving() as receiver, sending() as sender:
        receiver.answer = lambda _: later()
        assert (await sender.send(receiver.url, BODY, {})).retry_after == 120.0


async def test_a_receiver_that_does_not_answer_is_given_up() -> None:
    async with receiving() as receiver, sending(webhook_timeout=0.2) as sender:
        receiver.answer = lambda _: never()
        attempt = await sender.send(receiver.url, BODY, {})
    assert attempt.error == "no answer within 0.2 s"


async def test_a_dead_receiver_is_a_failure() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with sending() as sender:
            attempt = await sender.send(f"http://127.0.0.1:{unused.getsockname()[1]}/", BODY, {})
    assert attempt.error
    assert attempt.status is None


async def test_an_answer_without_end_is_not_read() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    async with server, sending() as sender:
        attempt: Attempt = await sender.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", BODY, {})
    assert attempt.error is None
    assert MOST_ANSWER < sent < 100_000_000


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", b""])
async def test_an_error_shows_no_token_of_the_url(answer: bytes) -> None:
    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(wrong, "127.0.0.1", 0)
    async with server, sending() as sender:
        port = server.sockets[0].getsockname()[1]
        attempt = await sender.send(f"http://127.0.0.1:{port}/hooks?token=t0ps3cret&name=%41", BODY, {})
    assert attempt.error
    assert "t0ps3cret" not in attempt.error


async def test_addresses_are_checked_for_every_request() -> None:
    async with receiving() as receiver, sending(webhook_networks="") as sender:
        by_name = receiver.url.replace("127.0.0.1", "localhost")
        for url in (receiver.url, by_name, by_name.replace("http:", "https:")):
            attempt = await sender.send(url, BODY, {})
            assert "not a public address" in str(attempt.error), url
        assert receiver.requests == []
