"""Producers' clocks: lists and histories have the broker's time, whatever a producer says, and keep what it said."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from confluent_kafka import Producer
from kafka import messages
from system import ADDRESS, Api, System, eventually

from streams.messages.envelope import now

Unique = Callable[[str], str]
PAST, FUTURE = "2020-01-01T00:00:00.000Z", "9999-12-31T23:59:59.000Z"
ADDRESSES = {"shippingAddress": ADDRESS, "billingAddress": ADDRESS}


async def test_a_producers_clock_does_not_reorder_lists_and_histories(system: System, api: Api, unique: Unique) -> None:
    order, product, customer, began = unique("o"), unique("p"), unique("c"), now()
    await api.stock(product, 9)
    line = {"productId": product, "quantity": 1, "price": {"amount": 100, "currency": "EUR"}}
    placed = {"customerId": customer, "lines": [line], **ADDRESSES}
    sent = [("PlaceOrder", placed, FUTURE), ("Hold", {"reason": "a"}, PAST), ("Release", {}, FUTURE)]
    body = [{"type": name, "subject": order, "data": data, "time": time} for name, data, time in sent]
    assert (await api("POST", "/commands", body))[0] == 202
    found = await api.order(order, lambda shown: shown["version"] >= 3)
    assert began <= found["createdAt"] <= found["updatedAt"] <= now()
    _, history, _ = await api("GET", f"/orders/{order}/events")
    said = {event["type"]: event.get("producerTime") for event in history["data"]}
    assert (said["OrderPlaced"], said["OrderHeld"], said["OrderReleased"]) == (FUTURE, PAST, FUTURE)
    times = [event["time"] for event in history["data"]]
    assert times == sorted(times)
    _, listed, _ = await api("GET", f"/orders?customerId={customer}&sort=-updatedAt")
    assert [each["updatedAt"] <= now() for each in listed["data"]] == [True]
    later = await api.place((product, 1), customerId=customer)
    await api.order(later["id"])
    _, listed, _ = await api("GET", f"/orders?customerId={customer}&limit=1")
    assert [each["id"] for each in listed["data"]] == [later["id"]]


async def test_a_record_stamped_by_its_producer_gets_the_brokers_time(system: System, api: Api, unique: Unique) -> None:
    product, topic, began = unique("p"), system.settings.named("inventory-commands"), now()

    def produce(milliseconds: int) -> None:
        producer = Producer({"bootstrap.servers": system.settings.kafka})
        value = orjson.dumps({"type": "ReceiveStock", "subject": product, "data": {"quantity": 1}})
        producer.produce(topic, key=product, value=value, timestamp=milliseconds)
        assert producer.flush(120) == 0

    for stamp in (1_577_836_800_000, 253_402_300_799_000):
        await asyncio.to_thread(produce, stamp)

    async def ask() -> Any:
        status, answer, _ = await api("GET", f"/inventory/{product}")
        return answer["data"] if status == 200 else {"version": 0}

    found = await eventually(ask, lambda shown: shown["version"] == 2)
    assert began <= found["createdAt"] <= found["updatedAt"] <= now()
    logged = await asyncio.to_thread(
        messages, system.settings, system.settings.named("inventory-events"), lambda m: m["subject"] == product
    )
    assert [("producertime" in event, began <= event["time"] <= now()) for event in logged] == [(False, True)] * 2
