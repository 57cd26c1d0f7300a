"""Kafka or MongoDB is unreachable for a while, under load: the answers meanwhile, and recovery without help."""

import asyncio
import signal
import time
from typing import Any

import aiohttp
import pytest
from load import Load
from servers import Server
from system import ADDRESS, Api, System, eventually
from verify import verdict

SHORT, LONG = 10.0, 60.0  # in seconds
ORDER = {
    "customerId": "outage",
    "items": [{"productId": "outage-boots", "quantity": 1, "price": "10.00"}],
    "shippingAddress": ADDRESS,
    "billingAddress": ADDRESS,
}
slow = pytest.mark.slow


async def reasons(system: System, role: str) -> str:
    """Return why a process is not ready, from its /readyz; an empty text if it is ready."""
    port = next(each["port"] for each in system.status()["processes"] if each["role"] == role)
    try:
        async with aiohttp.request("GET", f"http://127.0.0.1:{port}/readyz") as answer:
            return "" if answer.status == 200 else str((await answer.json())["reasons"])
    except aiohttp.ClientError:  # it is being restarted
        return ""


async def kafka_is_away(system: System, api: Api) -> None:
    """Commands, and only commands, get a 503 that names the reason; every process says why it is not ready."""
    answered = await eventually(lambda: api("POST", "/orders", ORDER), lambda answer: answer[0] == 503)
    _, answer, headers = answered
    assert (answer["error"], headers["Retry-After"]) == ("KAFKA_UNAVAILABLE", "2")
    assert "Kafka" in answer["message"]
    status, answer, _ = await api("PUT", "/inventory/outage-boots", {"quantity": 5})
    assert (status, answer["details"]) == (503, {}), (
        "known to be unreachable: no command is sent that might be done later"
    )
    assert (await api("GET", "/orders?limit=1"))[0] == 200
    for role in ("api", "orders", "inventory", "projector"):
        await eventually(lambda role=role: reasons(system, role), lambda said: "Kafka" in said)


async def mongodb_is_away(system: System, api: Api) -> None:
    """Queries, and commands with a key, get a 503 that names the reason; other commands are decided as usual."""
    key = {"headers": {"Idempotency-Key": "outage"}}
    for method, path, body, options in (
        ("GET", "/orders", None, {}),
        ("GET", "/orders/nobody", None, {}),
        ("GET", "/commands/nobody", None, {}),
        ("POST", "/orders", ORDER, key),
    ):
        status, answer, headers = await api(method, path, body, **options)
        assert (status, answer["error"], headers["Retry-After"]) == (503, "MONGODB_UNAVAILABLE", "2"), path
    for role in ("api", "projector"):
        await eventually(lambda role=role: reasons(system, role), lambda said: "MongoDB" in said)
    status, answer, _ = await api("POST", "/orders", ORDER)
    assert status in (201, 202), answer
    assert await reasons(system, "orders") == ""


AWAY: dict[str, Any] = {"kafka": kafka_is_away, "mongod": mongodb_is_away}


@pytest.mark.parametrize(
    ("name", "sign", "seconds"),
    [
        ("kafka", signal.SIGKILL, SHORT),
        ("mongod", signal.SIGTERM, SHORT),
        *(pytest.param(name, sign, LONG, marks=slow) for name in AWAY for sign in (signal.SIGTERM, signal.SIGKILL)),
    ],
)
async def test_an_outage_is_reported_and_survived(
    system: System, servers: dict[str, Server], api: Api, name: str, sign: signal.Signals, seconds: float
) -> None:
    load = Load(system, seed=int(seconds) + sign + 1000 * list(AWAY).index(name))  # its own ids

    async def more(promises: int) -> None:
        wanted = len(load.promises.done) + promises
        await eventually(lambda: asyncio.sleep(0, len(load.promises.done)), lambda done: done >= wanted)

    async with load.running():
        await more(30)
        await asyncio.to_thread(servers[name].stop, sign)
        over = time.monotonic() + seconds
        try:
            await AWAY[name](system, api)
            await asyncio.sleep(max(over - time.monotonic(), 0))  # the duration of the outage itself
        finally:
            await asyncio.to_thread(servers[name].start)
        await more(30)
    assert (await verdict(system, load.promises)).broken == []
    await eventually(lambda: api("POST", "/orders", ORDER), lambda answer: answer[0] == 201)


async def test_commands_are_accepted_again_after_some_expired(
    system: System, servers: dict[str, Server], api: Api
) -> None:
    """Commands that expired while Kafka had no leader were in the producer's sequence, so that later ones were
    refused."""
    products = [f"given-up-{number}" for number in range(24)]

    async def receive(product: str) -> int:
        return (await api("POST", f"/inventory/{product}/receive", {"quantity": 1}))[0]

    async def until_refused(product: str) -> None:
        while await receive(product) in (200, 202):
            pass

    asking = [asyncio.create_task(until_refused(product)) for product in products]
    await asyncio.sleep(0.5)  # part of the load
    await asyncio.to_thread(servers["kafka"].stop, signal.SIGTERM)  # a graceful stop: it gives up leadership first
    await asyncio.gather(*asking)
    await asyncio.to_thread(servers["kafka"].start)
    for product in products:
        await eventually(lambda product=product: receive(product), lambda status: status == 200)
    await asyncio.to_thread(system.quiet)
