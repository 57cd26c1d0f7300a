"""Without a token: pages of other sites reach neither the API nor a worker, and programs on this machine do."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from raw import exchange, parsed
from web_server import Server

from streams.runtime.settings import Settings

PUBLIC = "shop.example.com"


@pytest.fixture(scope="module", params=["api", "orders"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    async with Server(request.param, allowed_hosts=PUBLIC) as server:
        yield server


@pytest.fixture(scope="module")
async def api() -> AsyncIterator[Server]:
    async with Server("api", allowed_hosts=PUBLIC) as server:
        yield server


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "evil", "", "a@localhost",
             "[::1", "localhost:x"]
)  # fmt: skip
async def test_a_foreign_host_is_refused(server: Server, host: str) -> None:
    for path in ("/livez", "/metrics", "/nothing"):
        assert (await server.ask("GET", path, Host=host))[:2] == (403, "FOREIGN_HOST")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:1", "[::1]:8000", "LOCALHOST:8000", "localhost.", "shop.localhost:1",
             "[::ffff:127.0.0.1]:1", PUBLIC, f"{PUBLIC}:443"]
)  # fmt: skip
async def test_the_hosts_of_this_machine_and_of_the_settings_are_answered(server: Server, host: str) -> None:
    assert (await server.ask("GET", "/livez", Host=host))[0] == 200


async def test_a_health_check_without_a_host_is_answered(server: Server) -> None:
    assert parsed(await exchange("127.0.0.1", server.port, b"GET /livez HTTP/1.0\r\n\r\n"))[0] == 200
    sent = b"POST /livez HTTP/1.0\r\nOrigin: http://evil.example\r\n\r\n"
    assert parsed(await exchange("127.0.0.1", server.port, sent))[0] == 403


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},
    {"Origin": "https://localhost"},
    {"Origin": "file://"},
    {"Origin": "http://localhost:x"},
    {"Sec_Fetch_Site": "cross-site"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/orders/o-1/shipments"),
        ("POST", "/api/v1/inventory/boots/discontinue"),
        ("POST", "/api/v1/letters/order/o-1/retry"),
        ("DELETE", "/api/v1/orders/o-1"),
        ("PUT", "/api/v1/orders/o-1/status"),
        ("PATCH", "/nothing"),
    ],
)
async def test_a_page_of_another_site_changes_nothing(
    api: Server, method: str, path: str, headers: dict[str, str]
) -> None:
    assert (await api.ask(method, path, Host="localhost:8000", **headers))[:2] == (403, "FOREIGN_ORIGIN")


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_nor_does_it_on_a_worker(server: Server, headers: dict[str, str]) -> None:
    assert (await server.ask("POST", "/lag", Host="localhost:8000", **headers))[:2] == (403, "FOREIGN_ORIGIN")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost:8000", "Sec_Fetch_Site": "same-origin"},
        {"Origin": f"https://{PUBLIC}"},
        {"Sec_Fetch_Site": "none"},
    ],
    ids=str,
)
async def test_the_dashboard_and_programs_may_send_commands(api: Server, headers: dict[str, str]) -> None:
    sent = await api.ask("POST", "/api/v1/orders/o-1/shipments", Host="localhost:8000", **headers)
    assert sent[:2] == (503, "KAFKA_UNAVAILABLE")


async def test_a_link_from_another_site_may_be_followed(api: Server) -> None:
    assert (await api.ask("GET", "/livez", Host="localhost", Sec_Fetch_Site="cross-site"))[0] == 200


async def test_with_a_token_any_host_is_answered() -> None:
    async with Server("api", api_token="secret") as guarded:
        assert (await guarded.ask("GET", "/livez", Host="api"))[0] == 200
        assert (await guarded.ask("POST", "/api/v1/orders", Host="api"))[:2] == (401, "UNAUTHORIZED")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/nothing", "/metrics"])
async def test_answers_are_not_stored_and_name_no_version(server: Server, path: str) -> None:
    await server.ask("GET", path)
    assert server.headers["Cache-Control"] == "no-store"
    assert server.headers["X-Content-Type-Options"] == "nosniff"
    assert server.headers["Server"] == "order-fulfillment"


async def test_neither_are_the_answers_to_what_is_not_http(server: Server) -> None:
    status, headers, _ = parsed(await exchange("127.0.0.1", server.port, b"GARBAGE\r\n\r\n"))
    assert (status, headers["cache-control"], headers["server"]) == (400, "no-store", "order-fulfillment")


SOON = 0.3  # seconds
HALF = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("role", ["api", "orders"])
async def test_headers_that_do_not_arrive_end_the_connection(role: str) -> None:
    async with Server(role, header_timeout=0.1) as server:
        assert await exchange("127.0.0.1", server.port, b"") == b""
    async with Server(role, header_timeout=SOON) as server:
        assert parsed(await exchange("127.0.0.1", server.port, HALF))[0] == 408


async def test_a_body_that_arrives_after_the_answer_is_not_taken_for_headers() -> None:
    async with Server("api", header_timeout=SOON) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(2):
            writer.write(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 404 Not Found")
            await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))  # type: ignore[index]
            for part in (b"1234", b"5678"):
                writer.write(part)
                with pytest.raises(TimeoutError):  # nothing comes, not even the end
                    await asyncio.wait_for(reader.read(1), 2 * SOON)
        writer.write(HALF)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 Request Timeout")
        writer.close()


GET, TO = HALF + b"\r\n", b"POST /livez HTTP/1.1\r\nHost: localhost\r\n"
SHORT, LONG, CHUNKED = (
    TO + b"Content-Length: 2\r\n\r\n{}",
    TO + b"Content-Length: 6\r\n\r\n{\n\n\n\n}",
    TO + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
)


async def test_headers_behind_a_request_must_arrive_in_time_too() -> None:
    sent = [GET, 2 * GET, LONG, CHUNKED, GET + LONG, LONG + CHUNKED + LONG, 3 * SHORT]
    async with Server("api", header_timeout=SOON) as server:
        received = await asyncio.gather(*(exchange("127.0.0.1", server.port, before + HALF) for before in sent))
    for before, answers in zip(sent, received, strict=True):
        assert answers.count(b"HTTP/1.1 200 OK") == before.count(b"GET")
        assert answers.count(b"HTTP/1.1 405 Method Not Allowed") == before.count(b"POST")
        assert answers.count(b"HTTP/1.1 408 Request Timeout") == 1


async def waits(port: int, whole: bytes, status: bytes) -> None:
    """Send requests twice on one connection, and wait for longer than headers may take after their last answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(whole)
        for _ in range(whole.count(b" HTTP/1.1\r\n")):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 " + status), whole
            await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))  # type: ignore[index]
        with pytest.raises(TimeoutError):  # nothing comes, not even the end
            await asyncio.wait_for(reader.read(1), 2 * SOON)
    writer.write(HALF)
    assert (await reader.read()).startswith(b"HTTP/1.1 408 Request Timeout"), whole
    writer.close()


async def test_a_connection_may_wait_between_requests() -> None:
    refused = b"405 Method Not Allowed"
    async with Server("api", header_timeout=SOON) as server:
        requests = [(GET, b"200 OK"), (2 * GET, b"200 OK")]
        requests += [(each, refused) for each in (LONG, CHUNKED, 3 * SHORT, CHUNKED + SHORT, SHORT + b"\r\n")]
        await asyncio.gather(*(waits(server.port, *each) for each in requests))


async def test_the_size_of_headers_is_a_setting() -> None:
    async with Server("api", header_bytes=2_000) as server:
        assert (await server.ask("GET", "/livez", X="x" * 1_500))[0] == 200
        assert (await server.ask("GET", "/livez", X="x" * 2_500))[:2] == (431, "HEADERS_TOO_LARGE")
        assert (await server.ask("GET", "/" + "x" * 2_500))[:2] == (414, "URI_TOO_LONG")


def test_an_allowed_host_is_a_name() -> None:
    with pytest.raises(ValueError, match=r"https://shop.example.com.*is not a host name"):
        Settings(allowed_hosts="https://shop.example.com")
