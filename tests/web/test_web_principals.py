"""The principal of a command: in its envelope, in histories, in letters and in the audit log; keys belong to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from system import Api, System, eventually
from web_server import Server

from projections.mongo.client import Mongo
from streams.access.tokens import named, new_token
from web.commands.quota import Quotas
from web.sse import stream

SHOP, OTHER, ADMIN = new_token(), new_token(), new_token()


def beside(system: System) -> dict[str, Any]:
    """Return the settings of another api process of the system, which waits as long as the system's own."""
    same = {"kafka", "mongo", "data", "command_timeout", "consistency_timeout"}
    return system.settings.model_dump(include=same)


@pytest.fixture(scope="module")
async def clients(system: System, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Api]]:
    """Clients of another api process of the system, which requires tokens."""
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    scopes = {"shop": ("read,command", SHOP), "other": ("read,command", OTHER), "admin": ("read,operate", ADMIN)}
    file.write_text("".join(f"{named(name, said.split(','), token).line}\n" for name, (said, token) in scopes.items()))
    its = beside(system)
    async with Server("api", api_tokens_file=file, api_token="the-single-token", instance="tokens", **its) as server:
        sessions = {
            name: aiohttp.ClientSession(
                f"http://127.0.0.1:{server.port}/api/v1/", headers={"Authorization": f"Bearer {token}"}
            )
            for name, (_, token) in {**scopes, "single": ("", "the-single-token")}.items()
        }
        made = {name: Api(session) for name, session in sessions.items()}
        await eventually(lambda: _is_ready(server), lambda ready: ready)
        yield made
        for session in sessions.values():
            await session.close()


async def _is_ready(server: Server) -> bool:
    return bool((await server.ask("GET", "/readyz"))[0] == 200)


@pytest.fixture
async def mongo(system: System) -> AsyncIterator[Mongo]:
    mongo = Mongo(system.settings)
    yield mongo
    await mongo.close()


async def history(api: Api, path: str) -> list[Any]:
    """Return type and principal of each event."""
    _, answer, _ = await api("GET", path)
    return [(each["type"], each.get("principal")) for each in answer["data"]]


async def test_histories_name_the_principal_of_each_command(
    clients: dict[str, Api], api: Api, order: Callable[..., Any], unique: Callable[[str], str]
) -> None:
    product, key = unique("boots"), unique("o")
    await clients["other"]("PUT", f"/inventory/{product}", {"quantity": 5})
    await clients["shop"]("POST", "/orders", {**order(product), "orderId": key})
    await clients["other"]("POST", f"/orders/{key}/hold", {"reason": "check"})
    await api("DELETE", f"/orders/{key}/hold")
    found = await eventually(lambda: history(api, f"/orders/{key}/events"), lambda events: len(events) == 4)
    assert [each for each in found if each[0] != "AllocationRecorded"] == [
        ("OrderPlaced", "shop"), ("OrderHeld", "other"), ("OrderReleased", None)
    ]  # fmt: skip
    assert ("AllocationRecorded", None) in found  # the process manager asked for it
    await eventually(
        lambda: history(api, f"/inventory/{product}/ledger"), lambda events: ("StockAdjusted", "other") in events
    )


async def test_an_envelope_cannot_name_another_principal(
    clients: dict[str, Api], api: Api, unique: Callable[[str], str]
) -> None:
    product = unique("boots")
    for client, claims in (("shop", "admin"), (None, "admin")):
        envelope = {"type": "ReceiveStock", "principal": claims, "data": {"productId": product, "quantity": 1}}
        status, answer, _ = await (clients[client] if client else api)("POST", "/commands", envelope)
        assert status == 202, answer
    await eventually(lambda: history(api, f"/inventory/{product}/ledger"), lambda found: len(found) == 2)
    assert {each[1] for each in await history(api, f"/inventory/{product}/ledger")} == {"shop", None}


async def test_two_principals_may_choose_the_same_key(
    clients: dict[str, Api], order: Callable[..., Any], unique: Callable[[str], str]
) -> None:
    key, body = str(uuid4()), order(unique("boots"))
    placed = {}
    for _ in range(2):
        for name in ("shop", "other"):
            status, answer, headers = await clients[name]("POST", "/orders", body, headers={"Idempotency-Key": key})
            assert status == 201, answer
            assert ("Idempotency-Replayed" in headers) == (name in placed)
            assert placed.setdefault(name, answer["data"]["id"]) == answer["data"]["id"]
    assert placed["shop"] != placed["other"]


async def test_keys_stored_before_there_were_principals_still_count(
    clients: dict[str, Api], api: Api, mongo: Mongo, order: Callable[..., Any], unique: Callable[[str], str]
) -> None:
    key, body = str(uuid4()), order(unique("boots"))
    _, first, _ = await api("POST", "/orders", body, headers={"Idempotency-Key": key})
    assert await mongo.collection("idempotency").find_one({"_id": key})  # as older code stores it
    _, again, headers = await clients["single"]("POST", "/orders", body, headers={"Idempotency-Key": key})
    assert (again, headers["Idempotency-Replayed"]) == (first, "true")


async def test_the_actions_of_operators_are_recorded_and_listed(
    clients: dict[str, Api], api: Api, system: System, unique: Callable[[str], str]
) -> None:
    key = unique("o")
    status, _, _ = await clients["admin"]("POST", f"/letters/order/{key}/retry")
    assert status == 200
    system.run("skip", "projector", "order-events/0@999999999", "--reason", key, check=False)
    status, answer, _ = await clients["admin"]("GET", "/operator-actions?limit=2")
    assert status == 200
    newest, older = answer["data"]
    assert (newest["action"], newest["target"], newest["via"]) == ("skip", "order-events/0@999999999", "cli")
    assert newest["principal"].startswith("cli:")
    assert newest["details"] == {"role": "projector", "reason": key}
    assert (older["principal"], older["action"], older["target"]) == ("admin", "retry letters", f"order/{key}")
    assert (older["via"], older["details"]) == ("http", {"address": "127.0.0.1"})
    _, rest, _ = await clients["admin"]("GET", "/operator-actions", params={"cursor": newest["id"], "limit": "1"})
    assert rest["data"] == [older]
    status, answer, _ = await clients["shop"]("GET", "/operator-actions")
    assert (status, answer["error"]) == (403, "MISSING_SCOPE")


async def test_a_letter_of_kafka_names_its_operator_in_the_envelope(clients: dict[str, Api], system: System) -> None:
    """The order's own worker gets the principal: it is on the topic."""
    key = f"o-{uuid4()}"
    _, answer, _ = await clients["admin"]("POST", f"/letters/order/{key}/retry")
    parameters = {"key": key}
    path = f"/messages/order-commands/{answer['data']['commandId']}"
    _, message, _ = await clients["admin"]("GET", path, params=parameters)
    envelope = json.loads(message["data"]["value"])
    assert (envelope["type"], envelope["principal"]) == ("RetryLetters", "admin")


async def test_an_event_stream_ends_with_its_token(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.2)
    file = tmp_path / "tokens"
    file.write_text(named("shop", ["read"], SHOP).line)
    async with (
        Server("api", api_tokens_file=file, instance="ending", **beside(system)) as api,
        aiohttp.ClientSession() as session,
    ):
        url, headers = f"http://127.0.0.1:{api.port}/api/v1/events", {"Authorization": f"Bearer {SHOP}"}
        async with asyncio.timeout(180), session.get(url, headers=headers) as answer:
            assert answer.status == 200
            await answer.content.readuntil(b": heartbeat\n")
            file.write_text(named("other", ["read"], OTHER).line)
            received = await answer.text()
    assert received.endswith('event: closed\ndata: {"reason":"the token is no longer valid"}\n\n')


async def test_a_quota_is_counted_for_each_principal(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"{named('shop', ['command'], SHOP).line}\n{named('other', ['command'], OTHER).line}\n")
    ship = ("POST", "/api/v1/orders/o-1/shipments")
    async with Server("api", api_tokens_file=file, commands_per_second=0.001) as api:
        assert (await api.ask(*ship, token=SHOP))[0] == 503
        assert (await api.ask(*ship, token=SHOP))[:2] == (429, "QUOTA_EXCEEDED")
        assert 0 < int(api.headers["Retry-After"]) <= 1_000
        assert (await api.ask(*ship, token=OTHER))[0] == 503


def test_a_large_request_uses_the_quota_of_the_following_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    from streams.access import attempts
    from streams.access.denials import QuotaExceeded

    clock = [100.0]
    monkeypatch.setattr(attempts, "monotonic", lambda: clock[0])
    quotas = Quotas(10.0)
    quotas.spend("shop", 35)
    for waited, retry in ((0.0, "4"), (2.4, "2")):
        clock[0] = 100.0 + waited
        with pytest.raises(QuotaExceeded) as refused:
            quotas.spend("shop", 10)
        assert refused.value.headers["Retry-After"] == retry
    clock[0] = 103.5
    quotas.spend("shop", 10)
    Quotas(0.0).spend("shop", 10_000)
