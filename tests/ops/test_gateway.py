"""deploy/nginx.conf in a real nginx, in front of small servers."""

import asyncio
import json
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from helpers_ops import some_ports, until
from yarl import URL

from ops.stack.ports import is_listening

CONF = Path(__file__).parents[2] / "deploy" / "nginx.conf"
pytestmark = [
    pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed (.ci/run installs it)"),
    pytest.mark.usefixtures("processes"),
]

# when root starts nginx, its workers run as another user, which may not enter the directories of a test
AS_ROOT = "user root;" if os.geteuid() == 0 else ""


def rendered(folder: Path, port: int, upstreams: list[int]) -> str:
    """Return the configuration with its paths in `folder`, and with our servers instead of Docker's DNS."""
    servers = "".join(f"server 127.0.0.1:{each} max_fails=0; " for each in upstreams)
    text = CONF.read_text()
    for old, new in {
        "/tmp/": f"{folder}/",
        "listen 8000;": f"listen 127.0.0.1:{port};",
        "resolver 127.0.0.11 valid=5s ipv6=off;": f"upstream test_api {{ {servers}}}",
        "set $api api:8000;": "set $api test_api;",
        "worker_processes auto;": "worker_processes 1;",  # each worker has its own round robin
    }.items():
        assert old in text
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def gateway(folder: Path, upstreams: list[int]) -> AsyncIterator[aiohttp.ClientSession]:
    (port,) = some_ports(1)
    conf = folder / "nginx.conf"
    conf.write_text(rendered(folder, port, upstreams))
    nginx = await asyncio.create_subprocess_exec(
        "nginx", "-e", "stderr", "-c", str(conf), "-g", f"daemon off; {AS_ROOT}"
    )
    try:
        await until(lambda: is_listening("127.0.0.1", port) or nginx.returncode is not None)
        assert nginx.returncode is None
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            yield http
    finally:
        nginx.terminate()
        await nginx.wait()


@asynccontextmanager
async def upstream(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    (port,) = some_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield port
    finally:
        await runner.cleanup()


def named(name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"name": name, "path": request.path_qs, "headers": dict(request.headers)})

    return answer


async def test_requests_go_round_and_say_who_asked(tmp_path: Path) -> None:
    async with upstream(named("a")) as a, upstream(named("b")) as b, gateway(tmp_path, [a, b]) as http:
        seen: Counter[str] = Counter()
        for _ in range(10):
            async with http.get("/api/v1/orders?limit=5") as answer:
                body = await answer.json()
                seen[body["name"]] += 1
        claims = {"X-Forwarded-For": "10.0.0.9", "Authorization": "Bearer t", "X-Request-Id": "mine"}
        async with http.get("/x", headers=claims) as answer:
            headers, sent_back = (await answer.json())["headers"], answer.headers
    assert seen == {"a": 5, "b": 5}
    assert body["path"] == "/api/v1/orders?limit=5"
    assert headers["Host"].startswith("127.0.0.1:")
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "http"
    assert headers["Authorization"] == "Bearer t"
    assert headers["X-Request-ID"] == sent_back["X-Request-ID"] != "mine"
    assert sent_back["Server"] == "nginx"  # no version


async def test_a_dead_process_is_passed_over(tmp_path: Path) -> None:
    async with upstream(named("a")) as a, gateway(tmp_path, [some_ports(1)[0], a]) as http:
        for method in ("GET", "POST", "PATCH") * 4:  # no byte of them has been sent when the failure is noticed
            async with http.request(method, "/api/v1/orders") as answer:
                assert (answer.status, (await answer.json())["name"]) == (200, "a")


async def test_without_any_process_the_answer_is_503_in_json(tmp_path: Path) -> None:
    async with gateway(tmp_path, [some_ports(1)[0]]) as http:
        async with http.get("/api/v1/orders") as answer:
            assert (answer.status, answer.content_type) == (503, "application/json")
            assert answer.headers["Retry-After"] == "1"
            assert (await answer.json())["error"] == "SERVICE_UNAVAILABLE"
        async with http.get("/gateway/livez") as answer:
            assert answer.status == 200


async def test_errors_of_the_api_pass_unchanged(tmp_path: Path) -> None:
    async def refuses(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "MINE"}, status=int(request.path[1:]))

    async with upstream(refuses) as port, gateway(tmp_path, [port]) as http:
        for status in (400, 409, 413, 422, 503, 504):
            async with http.get(f"/{status}") as answer:
                assert (answer.status, await answer.json()) == (status, {"error": "MINE"})


@pytest.mark.parametrize(
    ("method", "times"), [("POST", 1), ("PUT", 1), ("DELETE", 1), ("PATCH", 1), ("GET", 2), ("HEAD", 2)]
)
async def test_only_a_request_that_changes_nothing_is_sent_twice(tmp_path: Path, method: str, times: int) -> None:
    asked: list[tuple[str, str, bytes]] = []

    async def dies(request: web.Request) -> web.StreamResponse:
        asked.append((request.method, request.path_qs, await request.read()))
        assert request.transport
        request.transport.close()
        return web.Response()

    body = b"" if method in ("GET", "HEAD") else b"{}"
    async with upstream(dies) as a, upstream(dies) as b, gateway(tmp_path, [a, b]) as http:
        url = URL("/api/v1/inventory/a%2Fb%20c?reason=x%26y", encoded=True)
        async with http.request(method, url, data=body or None) as answer:
            said = await answer.read()
    assert (answer.status, answer.content_type, answer.headers["Retry-After"]) == (503, "application/json", "1")
    assert method == "HEAD" or b"SERVICE_UNAVAILABLE" in said
    assert asked == [(method, "/api/v1/inventory/a%2Fb%20c?reason=x%26y", body)] * times


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST"),  # no Host
        (b"GARBAGE\r\n\r\n", 400, "BAD_REQUEST"),
        (b"GET / HTTP/3.7\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, "BAD_REQUEST"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400, "BAD_REQUEST"),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "URI_TOO_LONG"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9_000 + b"\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
    ],
)
async def test_malformed_http_is_refused_in_json(tmp_path: Path, sent: bytes, status: int, code: str) -> None:
    async with gateway(tmp_path, [some_ports(1)[0]]) as http:
        async with http.get("/gateway/livez") as alive:
            reader, writer = await asyncio.open_connection("127.0.0.1", alive.url.port)
        writer.write(sent)
        async with asyncio.timeout(120):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), head
    assert b"Content-Type: application/json" in head
    assert (json.loads(body)["success"], json.loads(body)["error"]) == (False, code)


@pytest.mark.parametrize(("size", "status"), [(256 << 10, 200), ((256 << 10) + 1, 413)])
async def test_large_bodies_are_refused(tmp_path: Path, size: int, status: int) -> None:
    async with upstream(named("a")) as port, gateway(tmp_path, [port]) as http:
        answer = await http.post("/api/v1/commands", data=b"x" * size)
        assert (answer.status, answer.content_type) == (status, "application/json")
        assert status == 200 or (await answer.json())["error"] == "BODY_TOO_LARGE"


async def test_events_arrive_one_by_one(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await go_on.wait()  # the second comes only when the client has the first
        await response.write(b"data: 2\n\n")
        return response

    async with upstream(events) as port, gateway(tmp_path, [port]) as http:
        async with asyncio.timeout(120):
            answer = await http.get("/api/v1/events?types=OrderPlaced")
            assert await answer.content.readuntil(b"\n\n") == b"data: 1\n\n"
            go_on.set()
            assert await answer.content.readuntil(b"\n\n") == b"data: 2\n\n"


def test_the_limit_is_that_of_the_settings() -> None:
    from streams.runtime.settings import Settings

    assert f"client_max_body_size {Settings.model_fields['body_bytes'].default >> 10}k;" in CONF.read_text()
