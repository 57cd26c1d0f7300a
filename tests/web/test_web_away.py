"""An API process with Kafka and MongoDB away, in this process: it says so, and when to come again."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from raw import exchange, parsed

from projections.mongo import client as mongo_client
from streams.runtime.settings import Settings
from web.main import create_app

NOWHERE = {"kafka": "127.0.0.1:9", "mongo": "mongodb://127.0.0.1:9"}


async def started(**changes: Any) -> TestClient[Any, Any]:
    with pytest.MonkeyPatch.context() as patience:
        patience.setattr(mongo_client, "SERVER_SELECTION_MS", 50)
        app = create_app(Settings(**{**NOWHERE, **changes}))
    app.web.web_app.router.add_get("/broken", broken)
    server = TestServer(app.web.web_app)
    await server.start_server(lingering_time=0.1)  # seconds it waits for the rest of a body it has refused
    return TestClient(server)


async def broken(request: web.Request) -> web.Response:
    raise RuntimeError("secret of the house")


@pytest.fixture(scope="module")
async def away() -> AsyncIterator[TestClient[Any, Any]]:
    client = await started()
    yield client
    await client.close()


@pytest.fixture(scope="module")
async def guarded() -> AsyncIterator[TestClient[Any, Any]]:
    client = await started(api_token="secret")
    yield client
    await client.close()


async def test_the_process_runs_but_is_not_ready(away: TestClient[Any, Any]) -> None:
    assert (await away.get("/livez")).status == 200
    answer = await away.get("/readyz")
    assert answer.status == 503
    assert set((await answer.json())["reasons"]) == {"kafka", "outcomes", "mongodb"}
    answer = await away.get("/health")
    assert (answer.status, await answer.json()) == (503, {"status": "DOWN"})


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("PUT", "/api/v1/inventory/boots", "KAFKA_UNAVAILABLE"),
        ("GET", "/api/v1/inventory/boots", "MONGODB_UNAVAILABLE"),
        ("GET", "/api/v1/orders", "MONGODB_UNAVAILABLE"),
    ],
)
async def test_a_request_that_needs_kafka_or_mongodb_gets_503_with_retry_after(
    away: TestClient[Any, Any], method: str, path: str, code: str
) -> None:
    answer = await away.request(method, path, json={"quantity": 1} if method == "PUT" else None)
    assert (answer.status, (await answer.json())["error"]) == (503, code)
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_key_cannot_be_claimed_without_mongodb(away: TestClient[Any, Any]) -> None:
    answer = await away.put("/api/v1/inventory/boots", json={"quantity": 1}, headers={"Idempotency-Key": "k"})
    assert (answer.status, (await answer.json())["error"]) == (503, "MONGODB_UNAVAILABLE")


@pytest.mark.parametrize("sent", [None, "Bearer wrong", "Bearer ", "secret", "Basic secret"])
async def test_without_the_token_it_is_401(guarded: TestClient[Any, Any], sent: str | None) -> None:
    for path in ("/api/v1/orders", "/metrics", "/nope"):
        answer = await guarded.get(path, headers={"Authorization": sent} if sent else {})
        assert (answer.status, (await answer.json())["error"]) == (401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_with_the_token_or_for_health_it_is_not_401(guarded: TestClient[Any, Any]) -> None:
    assert (await guarded.get("/livez")).status == 200
    assert (await guarded.get("/readyz")).status == 503
    assert (await guarded.get("/health")).status == 503
    assert (await guarded.get("/openapi.yaml")).status == 200
    assert (await guarded.get("/openapi.json", headers={"Authorization": "Bearer secret"})).status == 200


async def test_an_internal_error_shows_no_traceback(
    away: TestClient[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    answer = await away.get("/broken")
    body = await answer.json()
    assert (answer.status, body["error"]) == (500, "INTERNAL_ERROR")
    assert "secret of the house" not in str(body)
    assert "secret of the house" in caplog.text
    assert answer.headers["Correlation-Id"] in caplog.text


async def test_a_body_that_does_not_arrive_is_408() -> None:
    impatient = await started(body_timeout=0.05)
    server = impatient.server
    assert isinstance(server, TestServer)
    lines = ["POST /api/v1/orders HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 9"]
    head = "\r\n".join([*lines, "", "{"]).encode()
    status, headers, answer = parsed(await exchange(server.host, server.port or 0, head))
    assert (status, answer["error"], headers["connection"]) == (408, "REQUEST_TIMEOUT", "close")
    await impatient.close()
