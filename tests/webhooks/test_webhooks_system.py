"""Webhooks of the whole system: from an order to a receiver that may be slow, fail or be gone, through crashes."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import pytest
from aiohttp import web
from aiokafka.errors import KafkaError
from confluent_kafka import Producer
from kafka import messages, produce
from standardwebhooks import Webhook
from system import FULFILLMENT, PATIENCE_SECONDS, Api, System, api_at, eventually, free_ports
from webhook_receiver import Receiver, never, receiving

from streams.kafka.gateway import GatewayUnavailable
from streams.runtime.faults import WEBHOOK_POINTS
from streams.runtime.settings import Settings
from webhooks.delivering import MOST_PENDING, MOST_WAITING
from webhooks.store import Subscriptions
from webhooks.subscription import Secret, Start, Subscription

PAGE = Path(__file__).parents[2] / "docs/how-to/receive-webhooks.md"


async def subscribe(api: Api, receiver: Receiver, **more: Any) -> dict[str, Any]:
    """Make a webhook; return it with its secret."""
    wanted = {"url": receiver.url, **more}
    status, answer, headers = await eventually(
        lambda: api("POST", "/webhooks", wanted),
        lambda found: found[0] != 503,  # until subscriptions have been read
    )
    assert status == 201, answer
    assert headers["Location"].endswith(answer["data"]["id"])
    return dict(answer["data"])


async def ask(api: Api, method: str, path: str, body: Any = None) -> Any:
    """Return the data of an answer, which must be a success."""
    status, answer, _ = await api(method, path, body)
    assert status == 200, answer
    return answer["data"]


async def received(receiver: Receiver, count: int, **wanted: str) -> list[dict[str, Any]]:
    """Wait until `count` events with these fields were received, and return them."""

    async def some() -> list[dict[str, Any]]:
        return [each for each in receiver.events if all(each[name] == value for name, value in wanted.items())]

    return await eventually(some, lambda found: len(found) >= count)


async def test_events_of_a_customer_arrive_signed_and_in_order(system: System, api: Api) -> None:
    customer, product = f"ada-{uuid4()}", f"boots-{uuid4()}"
    await api.stock(product, 10)
    async with receiving() as receiver:
        hook = await subscribe(
            api, receiver, customerIds=[customer], types=["OrderPlaced", "OrderHeld", "OrderReleased"]
        )
        path, secret = f"/webhooks/{hook['id']}", hook["secret"]
        try:
            await api.place((product, 1), customerId="somebody-else")
            order = (await api.place((product, 1), customerId=customer))["id"]
            assert (await api("POST", f"/orders/{order}/hold", {"reason": "check"}))[0] == 200
            found = await received(receiver, 2)
            assert [(each["subject"], each["type"]) for each in found] == [(order, "OrderPlaced"), (order, "OrderHeld")]
            for headers, body in receiver.requests:
                assert Webhook(secret).verify(body, headers)["id"] == headers["webhook-id"]
                assert headers["content-type"] == "application/cloudevents+json"

            # the secret is answered once, and replaced with an overlap
            assert "secret" not in await ask(api, "GET", path)
            assert "secrets" not in str((await api("GET", "/webhooks"))[1])
            fresh = (await ask(api, "POST", f"{path}/rotate-secret", {"overlapSeconds": 600}))["secret"]
            other = (await api.place((product, 1), customerId=customer))["id"]
            await received(receiver, 1, subject=other)
            headers, body = receiver.requests[-1]
            assert Webhook(secret).verify(body, headers) == Webhook(fresh).verify(body, headers)

            # nothing is sent while it is paused, and nothing is lost
            assert "is paused" in system.run("webhooks", "pause", hook["id"]).stdout
            third = (await api.place((product, 1), customerId=customer))["id"]
            assert "is active" in system.run("webhooks", "resume", hook["id"]).stdout
            await received(receiver, 1, subject=third)
            await eventually(lambda: ask(api, "GET", f"{path}/deliveries"), lambda found: len(found) == 4)
            logged = await ask(api, "GET", f"{path}/deliveries?status=delivered&limit=1")
            assert (logged[0]["aggregateId"], logged[0]["responseStatus"]) == (third, 200)
            assert third in system.run("webhooks", "deliveries", hook["id"], "--status", "delivered").stdout
            assert hook["id"] in system.run("webhooks", "list").stdout

            # a replay begins again
            before = len(receiver.requests)
            system.run("webhooks", "replay", hook["id"], "--from", "2026-01-01T00:00:00Z")
            await eventually(lambda: asyncio.sleep(0, len(receiver.requests)), lambda count: count >= before + 4)
            again = [each["id"] for each in receiver.events[before : before + 4]]
            assert sorted(again) == sorted({each["id"] for each in receiver.events[:before]})
            ends = (await ask(api, "GET", path))["progress"]["positions"]
            name, end = next(iter(ends.items()))
            system.run("webhooks", "replay", hook["id"], "--position", f"{name}@{end}")
        finally:
            await api("DELETE", path)
        assert (await api("GET", path))[0] == 404


async def test_a_failing_order_and_a_dead_receiver_delay_nothing_else(system: System, api: Api) -> None:
    product, types = f"boots-{uuid4()}", ["OrderPlaced", "OrderHeld"]
    await api.stock(product, 10)
    async with receiving() as receiver, receiving() as slow, receiving() as gone:
        bad, tries = f"bad-{uuid4()}", list[str]()

        def fail_at_first(event: dict[str, Any]) -> int:
            tries.append(event["subject"])
            return 500 if event["subject"] == bad and tries.count(bad) == 1 else 200

        receiver.answer, slow.answer, gone.answer = fail_at_first, lambda _: never(), lambda _: 410
        hooks = [await subscribe(api, each, types=types) for each in (receiver, slow, gone)]
        try:
            await api.place((product, 1), orderId=bad)
            await received(receiver, 1, subject=bad)
            shown = await eventually(
                lambda: ask(api, "GET", f"/webhooks/{hooks[0]['id']}"), lambda each: each["progress"]["waiting"] == 1
            )
            assert shown["progress"]["waitingFor"][0]["error"] == "the receiver answered 500"
            assert f"{bad}: 1 event since " in system.run("webhooks", "show", hooks[0]["id"]).stdout
            assert (await api("POST", f"/orders/{bad}/hold", {"reason": "check"}))[0] == 200
            good = (await api.place((product, 1)))["id"]
            await received(receiver, 1, subject=good)
            await received(receiver, 3, subject=bad)
            in_turn = [each["type"] for each in receiver.events if each["subject"] == bad]
            assert in_turn == ["OrderPlaced", "OrderPlaced", "OrderHeld"]

            parked = await eventually(
                lambda: ask(api, "GET", f"/webhooks/{hooks[2]['id']}"), lambda each: each["status"] == "parked"
            )
            assert parked["reason"] == "the receiver answered 410 Gone"
            assert slow.requests
        finally:
            for hook in hooks:
                await api("DELETE", f"/webhooks/{hook['id']}")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "https://127.0.0.2.example"}, None),
        ({"url": "https://10.0.0.1/hooks"}, "url"),
        ({"url": "http://8.8.8.8/hooks"}, "url"),
        ({"url": "https://shop.example", "types": ["OrderPlacedd"]}, "types.0"),
        ({"url": "https://shop.example", "types": ["StockReserved"], "customerIds": ["ada"]}, "customerIds"),
        ({"url": "https://shop.example", "secret": "whsec_short"}, "secret"),
        ({"url": "https://shop.example", "from": "yesterday"}, "from"),
        ({"url": "https://shop.example", "surprise": 1}, "surprise"),
        ({}, "url"),
    ],
)
async def test_a_bad_subscription_is_refused_with_its_field(api: Api, body: Any, field: str | None) -> None:
    status, answer, _ = await api("POST", "/webhooks", body)
    if field is None:
        assert status == 201
        await api("DELETE", f"/webhooks/{answer['data']['id']}")
    else:
        assert (status, answer["error"], list(answer["errors"])) == (400, "VALIDATION_FAILED", [field])


async def test_the_receiver_of_the_documentation_verifies_signatures(api: Api, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    port, product = free_ports(1), f"boots-{uuid4()}"
    await api.stock(product, 1)
    async with receiving() as stand_in:  # only for its address, which is replaced
        stand_in.url = f"http://127.0.0.1:{port}/hooks"
        hook = await subscribe(api, stand_in, types=["OrderPlaced"])
    env = os.environ | {"SECRET": hook["secret"], "PORT": str(port)}
    log = tmp_path / "received"
    with log.open("wb") as output:
        process = await create_subprocess_exec(sys.executable, "-c", code, env=env, stdout=output, stderr=output)
    try:
        order = (await api.place((product, 1)))["id"]
        await eventually(lambda: asyncio.to_thread(log.read_text), lambda text: f"OrderPlaced {order}" in text)
        async with api.session.post(f"http://127.0.0.1:{port}/hooks", json={}) as forged:
            assert forged.status == 401
    finally:
        await api("DELETE", f"/webhooks/{hook['id']}")
        process.terminate()
        await process.wait()


# --- killed processes


@asynccontextmanager
async def own_api(env: dict[str, str]) -> AsyncIterator[tuple[Process, Api]]:
    """Run an api process of another installation on the servers of the shared one."""
    process = await create_subprocess_exec(*FULFILLMENT, "worker", "api", env=env, stdout=DEVNULL, stderr=DEVNULL)
    try:
        async with api_at(f"http://127.0.0.1:{env['FULFILLMENT_HTTP_PORT']}/api/v1") as api:
            yield process, api
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def answers(api: Api, path: str) -> int:
    """Return the status of a GET; 0 while nothing answers."""
    try:
        return (await api("GET", path))[0]
    except OSError:
        return 0


@pytest.fixture(scope="module")
async def own(system: System) -> dict[str, str]:
    """The environment of another installation on the servers of the shared one, with topics and without processes."""
    port, prefix = str(free_ports(1)), f"hooks-{uuid4().hex[:8]}."
    ports = {"FULFILLMENT_HTTP_PORT": port, "FULFILLMENT_WORKER_PORT": port}
    env = system.env | ports | {"FULFILLMENT_PREFIX": prefix}
    made = await create_subprocess_exec(*FULFILLMENT, "topics", "create", env=env, stdout=DEVNULL)
    assert await made.wait() == 0
    return env


@asynccontextmanager
async def stores(settings: Settings) -> AsyncIterator[list[Subscriptions]]:
    """Run the subscriptions of two processes."""
    both = [Subscriptions(settings), Subscriptions(settings)]
    for each in both:
        each.start()
    try:
        for each in both:
            await asyncio.wait_for(each.until_ready(), PATIENCE_SECONDS)
        yield both
    finally:
        for each in both:
            await each.stop()


@pytest.mark.long
async def test_the_last_record_is_the_right_one_if_two_processes_write(
    system: System, own: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = system.settings.model_copy(update={"prefix": own["FULFILLMENT_PREFIX"]})
    one = Subscription(id=str(uuid4()), revision=1, url="https://shop.example/hooks", secrets=(), created_at="T",
                       start=Start("s-1", {}))  # fmt: skip
    async with stores(settings) as (here, there):
        await here.create(one)
        await eventually(lambda: asyncio.sleep(0, there.all), lambda found: one in found)
        # a process that dies before it commits leaves nothing that compaction could keep
        with monkeypatch.context() as dying:
            dying.setattr("streams.kafka.producer.TransactionalProducer.end", AsyncMock(side_effect=KafkaError))
            with pytest.raises(GatewayUnavailable):
                await here.change(one.id, lambda each: each.parked("it died"))
        await asyncio.gather(*(store.change(one.id, change) for store in (here, there) for change in (
            lambda each: each.rotated(Secret("whsec_b"), 1, 2), Subscription.paused, Subscription.resumed,
        )))  # fmt: skip
        written = await asyncio.to_thread(
            messages, settings, settings.named("webhooks"), lambda each: each["id"] == one.id
        )
        assert [each["revision"] for each in written] == [1, 2, 3, 4, 5, 6, 7]
        last = await eventually(lambda: asyncio.sleep(0, there.find(one.id)), lambda found: found.revision == 7)
        assert here.find(one.id) == last
        assert (last.reason, written[-1]["status"]) == (None, last.status)
        await here.delete(one.id)


@pytest.mark.long
async def test_deliveries_that_fail_for_too_long_are_parked_and_not_lost(system: System, own: dict[str, str]) -> None:
    brief = {"FULFILLMENT_WEBHOOK_RETRY": "3", "FULFILLMENT_WEBHOOK_TIMEOUT": "60"}
    others = asyncio.Event()

    async def refuse_bad(event: dict[str, Any]) -> web.Response:
        """Refuse the bad event, a second time only after another one was taken meanwhile."""
        if event["subject"] != "bad":
            others.set()
            return web.Response()
        if [each["subject"] for each in receiver.events].count("bad") > 1:
            await others.wait()
        return web.Response(status=500)

    async with receiving() as receiver, own_api(own | brief) as (_, api):
        await eventually(lambda: answers(api, "/webhooks"), lambda status: status == 200)
        receiver.answer = refuse_bad
        path = f"/webhooks/{(await subscribe(api, receiver))['id']}"

        async def happen(name: str) -> None:
            event = {"id": str(uuid4()), "type": "OrderHeld", "subject": name, "sequence": 1, "data": {}}
            topic = f"{own['FULFILLMENT_PREFIX']}order-events"
            await asyncio.to_thread(produce, system.settings, topic, name, event)

        async def with_status(status: str) -> Any:
            return await ask(api, "GET", f"{path}/deliveries?status={status}")

        await happen("bad")
        await eventually(lambda: with_status("retrying"), bool)
        await happen("good")
        (parked,) = await eventually(lambda: with_status("parked"), bool)
        assert (parked["aggregateId"], parked["error"]) == ("bad", "the receiver answered 500")
        assert (await ask(api, "GET", path))["status"] == "active"

        receiver.answer = lambda _: 503
        await happen("later")
        found = await eventually(lambda: ask(api, "GET", path), lambda found: found["status"] == "parked")
        assert "the last error is: the receiver answered 503" in found["reason"]
        receiver.answer = lambda _: 200
        before = len(receiver.requests)
        await ask(api, "POST", f"{path}/resume")
        await eventually(lambda: asyncio.sleep(0, receiver.events[before:]), bool)
        assert receiver.events[before]["subject"] == "later"
        await ask(api, "DELETE", path)


@pytest.mark.long
async def test_memory_is_bounded_while_a_receiver_is_dead_and_all_arrives_afterwards(
    system: System, own: dict[str, str]
) -> None:
    count = 2 * (MOST_PENDING + MOST_WAITING)
    async with receiving() as receiver, own_api(own) as (_, api):
        receiver.answer = lambda _: 503
        await eventually(lambda: answers(api, "/webhooks"), lambda status: status == 200)
        path = f"/webhooks/{(await subscribe(api, receiver))['id']}"
        producer = Producer({"bootstrap.servers": system.settings.kafka})
        for number in range(count):
            event = {"id": str(uuid4()), "type": "OrderHeld", "subject": f"many-{number}", "sequence": 1, "data": {}}
            producer.produce(f"{own['FULFILLMENT_PREFIX']}order-events", json.dumps(event).encode(), event["subject"])
        assert await asyncio.to_thread(producer.flush, 120) == 0
        found = await eventually(
            lambda: ask(api, "GET", path), lambda found: found["progress"]["waiting"] >= MOST_WAITING
        )
        assert found["progress"]["waiting"] < MOST_WAITING + 2 * MOST_PENDING < count
        receiver.answer = lambda _: 200
        subjects = {f"many-{number}" for number in range(count)}
        before = len(receiver.requests)
        await eventually(
            lambda: asyncio.sleep(0, {each["subject"] for each in receiver.events[before:]}),
            lambda arrived: subjects <= arrived,
        )
        await ask(api, "DELETE", path)


@pytest.mark.long
async def test_a_killed_deliverer_loses_nothing_and_keeps_each_order_in_order(
    system: System, own: dict[str, str]
) -> None:
    sent = dict[str, list[int]]()

    def happen() -> None:
        """Append the next three events of three orders to the event topic."""
        for name in ("o-1", "o-2", "o-3"):
            for _ in range(3):
                numbers = sent.setdefault(name, [])
                numbers.append(len(numbers) + 1)
                event = {"specversion": "1.0", "id": str(uuid4()), "type": "OrderHeld", "source": "order",
                         "subject": name, "sequence": numbers[-1], "data": {"reason": "check"}}  # fmt: skip
                produce(system.settings, f"{own['FULFILLMENT_PREFIX']}order-events", name, event)

    async with receiving() as receiver:

        def seen() -> dict[str, list[int]]:
            """Return the sequences of each order, without repeats."""
            found: dict[str, list[int]] = {}
            for each in receiver.events:
                numbers = found.setdefault(each["subject"], [])
                numbers += [] if each["sequence"] in numbers else [each["sequence"]]
            return found

        async with own_api(own) as (_, api):
            await eventually(lambda: answers(api, "/webhooks"), lambda status: status == 200)
            await subscribe(api, receiver)
        for point in WEBHOOK_POINTS:
            await asyncio.to_thread(happen)
            async with own_api(own | {"FULFILLMENT_FAULTS": f"kill:{point.name}"}) as (process, _):
                assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == -signal.SIGKILL, point.name
        await asyncio.to_thread(happen)
        async with own_api(own):
            await eventually(lambda: asyncio.sleep(0, seen()), lambda found: found == sent)
