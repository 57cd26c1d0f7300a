"""A message that Kafka permanently refuses stops no other command, and is retried once Kafka accepts it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from confluent_kafka.admin import ResourceType
from kafka import alter, await_message, messages, produce
from system import Api, System, eventually

from streams.kafka.partitions import partition_of

LIMIT = "max.message.bytes"


@contextmanager
def limited(system: System, topic: str, limit: int) -> Iterator[None]:
    """Set the largest batch of a topic, and finally leave it to the broker again."""
    alter(system.settings, ResourceType.TOPIC, topic, {LIMIT: str(limit)})
    try:
        yield
    finally:
        alter(system.settings, ResourceType.TOPIC, topic, {LIMIT: None})


async def reasons(system: System, role: str) -> list[str]:
    """Return why a worker is not ready."""
    port = next(each["port"] for each in system.status()["processes"] if each["role"] == role)
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as answer:
        return list((await answer.json())["reasons"])


def lines(count: int) -> list[dict[str, Any]]:
    return [
        {"productId": f"refused-{number}", "quantity": 1, "price": {"amount": 1, "currency": "EUR"}}
        for number in range(count)
    ]


def place(count: int) -> dict[str, Any]:
    address = {"street": "1 High St", "city": "Bath", "zipCode": "BA1", "country": "GB"}
    data = {"customerId": "refused", "lines": lines(count), "shippingAddress": address, "billingAddress": address}
    return {"type": "PlaceOrder", "data": data}


def keys(system: System, partition: int, name: str, count: int) -> list[str]:
    """Return order ids that belong to a partition."""
    names = (f"{name}-{number}" for number in range(10_000))
    found = (each for each in names if partition_of(each.encode(), system.settings.partitions) == partition)
    return [next(found) for _ in range(count)]


async def test_a_command_whose_event_is_refused_is_parked_and_all_others_are_committed(
    system: System, api: Api
) -> None:
    pids = {name: system.pid(f"{name}-0") for name in ("orders", "inventory")}
    orders = keys(system, 3, "refused", 40)
    with limited(system, "order-events", 8_000):
        for number, order in enumerate(orders):
            produce(
                system.settings, "order-commands", order, {**place(150 if number == 17 else 1), "id": f"c-{order}"}, 3
            )
        for order in (*orders[:17], *orders[18:]):
            await api.order(order)
        letter = await asyncio.to_thread(
            await_message, system.settings, "dead-letters", lambda m: m["data"]["commandId"] == f"c-{orders[17]}"
        )
        data = letter["data"]
        assert (data["kind"], data["code"], data["aggregateId"]) == ("parked", "PROCESSING_FAILED", orders[17])
        assert "MESSAGE_TOO_LARGE" in data["message"]
        assert "max.message.bytes" in data["message"]
        assert await reasons(system, "orders") == []
        status, still, _ = await api("POST", f"/letters/order/{orders[17]}/retry")
        assert (status, still["data"]["retried"], still["data"]["left"]) == (200, 0, 1), still
        assert "MESSAGE_TOO_LARGE" in still["data"]["failed"]["message"]
    status, retried, _ = await api("POST", f"/letters/order/{orders[17]}/retry")
    assert (status, retried["data"]["retried"], retried["data"]["left"]) == (200, 1, 0), retried
    assert len((await api.order(orders[17]))["items"]) == 150
    assert {name: system.pid(f"{name}-0") for name in pids} == pids, "no worker was restarted"


async def test_a_stock_command_whose_event_is_refused_is_parked_and_all_others_are_committed(
    system: System, api: Api
) -> None:
    await api.stock("refused-adjusted", 5)
    with limited(system, "inventory-events", 1_500):
        body, at_once = {"delta": 1, "reason": "x" * 1_000}, {"Prefer": "respond-async"}
        _, parked, _ = await api("POST", "/inventory/refused-adjusted/adjust", body, headers=at_once)
        for number in range(10):
            await api.stock(f"refused-other-{number}", number)
        await asyncio.to_thread(
            await_message, system.settings, "dead-letters",
            lambda m: m["data"].get("commandId") == parked["data"]["commandId"],
        )  # fmt: skip
        assert await reasons(system, "inventory") == []
        adjusted = await api("POST", "/inventory/refused-other-1/adjust", {"delta": 1, "reason": "x" * 100})
        assert adjusted[0] == 200
    status, retried, _ = await api("POST", "/letters/inventory/refused-adjusted/retry")
    assert (status, retried["data"]["retried"]) == (200, 1), retried
    _, product, _ = await eventually(
        lambda: api("GET", "/inventory/refused-adjusted"), lambda found: found[1]["data"]["availableQuantity"] == 6
    )
    assert product["data"]["version"] == 2


async def test_a_command_that_cannot_even_be_parked_is_rejected(system: System, api: Api) -> None:
    """Parked commands are in the same changelog as the orders."""
    order, other = keys(system, 2, "refused-entry", 2)
    with limited(system, "orders-states-changelog", 5_000):
        produce(system.settings, "order-commands", order, {**place(150), "id": f"c-{order}"}, 2)
        produce(system.settings, "order-commands", other, {**place(1), "id": f"c-{other}"}, 2)
        await api.order(other)
        status, outcome, _ = await api("GET", f"/commands/c-{order}")
        assert (status, outcome["data"]["status"], outcome["data"]["code"]) == (200, "rejected", "MESSAGE_TOO_LARGE")
        assert "orders-states-changelog/2" in outcome["data"]["message"]
        assert await reasons(system, "orders") == []
    (letter,) = messages(system.settings, "dead-letters", lambda m: m["data"].get("commandId") == f"c-{order}")
    assert (letter["data"]["kind"], letter["data"]["value"]) == ("invalid", None)
    produce(system.settings, "order-commands", order, {**place(150), "id": f"again-{order}"}, 2)
    assert len((await api.order(order))["items"]) == 150


async def test_a_refused_letter_says_where_the_message_is(system: System, api: Api) -> None:
    with limited(system, "dead-letters", 3_000):
        produce(
            system.settings,
            "order-commands",
            "refused-letter",
            {"type": "Nonsense", "id": "c-letter", "data": {"x": "y" * 5_000}},
        )
        outcome = await asyncio.to_thread(
            await_message, system.settings, "command-outcomes", lambda m: m["data"]["commandId"] == "c-letter"
        )
    assert outcome["data"]["code"] == "UNKNOWN_TYPE"
    (letter,) = messages(system.settings, "dead-letters", lambda m: m["data"].get("commandId") == "c-letter")
    assert letter["data"]["value"] is None
    assert "order-commands/" in letter["data"]["message"]


async def test_a_command_is_parked_when_the_commands_it_causes_are_refused(system: System, api: Api) -> None:
    long = "\U0001d11e" * 128
    await api.stock("refused-short", 5)
    with limited(system, "inventory-commands", 1_200):
        refused, beside = keys(system, 5, "refused-caused", 2)
        lines = [{"productId": long, "quantity": 1, "price": {"amount": 1, "currency": "EUR"}}]
        command = place(1) | {"id": f"c-{refused}"}
        produce(system.settings, "order-commands", refused, command | {"data": command["data"] | {"lines": lines}}, 5)
        await api.place(("refused-short", 1), orderId=beside)
        await api.order(beside, lambda order: order["allocationStatus"] == "ALLOCATED")
        letter = await asyncio.to_thread(
            await_message, system.settings, "dead-letters", lambda m: m["data"]["commandId"] == f"c-{refused}"
        )
        assert "MESSAGE_TOO_LARGE: inventory-commands/" in letter["data"]["message"]
        assert not messages(system.settings, "order-events", lambda m: m["subject"] == refused)
    status, retried, _ = await api("POST", f"/letters/order/{refused}/retry")
    assert (status, retried["data"]["retried"]) == (200, 1), retried
    await api.order(refused, lambda order: order["status"] == "CANCELLED")  # there is no such product


async def test_a_topic_that_refuses_everything_stops_partitions_and_parks_nothing(system: System, api: Api) -> None:
    before = len(messages(system.settings, "dead-letters"))
    order, *_ = keys(system, 1, "refused-all", 1)
    with limited(system, "order-events", 100):
        produce(system.settings, "order-commands", order, {**place(1), "id": f"c-{order}"}, 1)
        (reason,) = await eventually(lambda: reasons(system, "orders"), bool)
        assert "order-commands/1 is blocked at offset" in reason
        assert "MESSAGE_TOO_LARGE: order-events/1" in reason
    await api.order(order)
    await eventually(lambda: reasons(system, "orders"), lambda found: found == [])
    assert len(messages(system.settings, "dead-letters")) == before


async def test_a_command_too_large_for_kafka_is_refused_to_its_client_and_affects_no_others(
    system: System, api: Api
) -> None:
    """It takes a place in the producer's sequence for its partition, which must not make later messages fail."""
    (key, *others) = keys(system, 4, "refused-sent", 12)
    body = {"customerId": "c", "items": [{"productId": f"p-{n}", "quantity": 1, "price": 1} for n in range(200)]}
    body |= {"shippingAddress": place(1)["data"]["shippingAddress"]}
    pid = system.pid("api-0")
    with limited(system, "order-commands", 3_000):
        large = asyncio.create_task(api("POST", "/orders", {**body, "orderId": key}, headers={"Idempotency-Key": key}))
        small = [asyncio.create_task(api.place(("refused-p", 1), orderId=order)) for order in others]
        status, refused, _ = await large
        assert (status, refused["error"]) == (413, "MESSAGE_TOO_LARGE"), refused
        assert (refused["details"]["topic"], refused["details"]["limit"]) == ("order-commands", 3_000)
        await asyncio.gather(*small)
        status, mixed, _ = await api(
            "POST", "/commands", [{**place(200), "subject": key}, {**place(1), "subject": f"{key}-b"}]
        )
        assert status == 202
        assert [each.get("code", each["status"]) for each in mixed["data"]] == ["MESSAGE_TOO_LARGE", "pending"]
        async with api.session.get(str(api.session._base_url).replace("/api/v1/", "/readyz")) as ready:
            assert ready.status == 200, await ready.text()
    await eventually(  # the same key: nothing was sent before
        lambda: api("POST", "/orders", {**body, "orderId": key}, headers={"Idempotency-Key": key}),
        lambda found: found[0] == 201,
    )
    assert system.pid("api-0") == pid
