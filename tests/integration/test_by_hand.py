"""Commands produced to Kafka by other programs: they have the same effect as over HTTP and cannot block an
aggregate."""

import asyncio
import base64
import json
from typing import Any

import pytest
from kafka import await_message, messages, produce
from system import ADDRESS, Api, System

from streams.kafka.partitions import partition_of

PRICE = {"amount": 1000, "currency": "EUR"}


def placed(product: str, quantity: int = 1) -> dict[str, Any]:
    """Return the data of a PlaceOrder."""
    return {
        "customerId": "by-hand",
        "lines": [{"productId": product, "quantity": quantity, "price": PRICE}],
        "shippingAddress": ADDRESS,
        "billingAddress": ADDRESS,
    }


async def test_an_order_can_be_placed_and_shipped_through_kafka(system: System, api: Api) -> None:
    def send(topic: str, key: str, name: str, **data: Any) -> None:
        produce(system.settings, topic, key, {"type": name, "data": data})

    send("inventory-commands", "hand-boots", "ReceiveStock", quantity=5)
    send("order-commands", "hand-1", "PlaceOrder", **placed("hand-boots", 2))
    await api.order("hand-1", lambda order: order["allocationStatus"] == "ALLOCATED")
    send("order-commands", "hand-1", "CreateShipment", carrier="DHL")
    order = await api.order("hand-1", lambda order: order["status"] == "SHIPPED")
    assert order["shipments"][0]["carrier"] == "DHL"
    send("order-commands", "hand-1", "DeliverShipment", shipmentId=order["shipments"][0]["shipmentId"])
    await api.order("hand-1", lambda order: order["status"] == "DELIVERED")
    await asyncio.to_thread(system.quiet)
    _, stock, _ = await api("GET", "/inventory/hand-boots")
    assert (stock["data"]["onHandQuantity"], stock["data"]["allocatedQuantity"]) == (3, 0)


async def test_the_aggregates_id_may_be_in_the_data(system: System, api: Api) -> None:
    produce(
        system.settings,
        "inventory-commands",
        None,
        {"type": "SetStock", "data": {"productId": "keyless", "quantity": 7}},
    )
    outcome = await asyncio.to_thread(
        await_message, system.settings, "command-outcomes", lambda m: m["data"]["aggregateId"] == "keyless"
    )
    assert outcome["data"]["result"]["availableQuantity"] == 7


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"not json", "INVALID_MESSAGE"),
        (b"[1, 2]", "INVALID_MESSAGE"),
        (b"\xff\xfe\x00", "INVALID_MESSAGE"),
        (b"", "INVALID_MESSAGE"),
        ({"type": "EatOrder", "data": {}}, "UNKNOWN_TYPE"),
        ({"type": "ReceiveStock", "data": {"quantity": 1}}, "UNKNOWN_TYPE"),
        ({"data": {}}, "UNKNOWN_TYPE"),
        ({"type": "PlaceOrder", "data": []}, "INVALID_MESSAGE"),
        ({"type": "PlaceOrder", "data": placed("x") | {"lines": []}}, "INVALID_ORDER"),
        ({"type": "PlaceOrder", "data": placed("x", -1)}, "INVALID_ORDER"),
        ({"type": "PlaceOrder", "data": placed("x", 10**30)}, "INVALID_ORDER"),
        ({"type": "PlaceOrder", "data": placed("nul\x00")}, "INVALID_ORDER"),
        ({"type": "PlaceOrder", "data": placed("x"), "time": "yesterday"}, "INVALID_MESSAGE"),
        ({"type": "PlaceOrder", "data": placed("x"), "expectedversion": "one"}, "INVALID_MESSAGE"),
        ({"type": "PlaceOrder", "data": placed("x"), "id": "\n"}, "INVALID_MESSAGE"),
        ({"type": "Hold", "data": {"reason": "x" * 900_000}}, "INVALID_COMMAND"),
        ({"type": "CancelOrder", "data": {"orderId": "another"}}, "INVALID_MESSAGE"),
        ({"type": "CreateShipment", "lines": [{"lineId": "1", "quantity": 1}]}, "INVALID_MESSAGE"),
        ({"type": "CreateShipment", "data": {}, "data_base64": "e30="}, "INVALID_MESSAGE"),
        ({"type": "CreateShipment", "data": {"items": [{"lineId": "1", "quantity": 1}]}}, "INVALID_COMMAND"),
        ({"type": "PlaceOrder", "data": placed("x") | {"customer_id": "x"}}, "INVALID_ORDER"),
    ],
)
async def test_an_invalid_message_is_answered_and_kept(system: System, api: Api, value: Any, code: str) -> None:
    key = f"bad-{abs(hash(str(value)))}"
    produce(system.settings, "order-commands", key, value if isinstance(value, bytes) else _dumps(value))
    produce(system.settings, "order-commands", key, {"type": "PlaceOrder", "data": placed("hand-other")})
    letter = await asyncio.to_thread(
        await_message, system.settings, "dead-letters", lambda message: message["data"].get("key") == key
    )
    assert (letter["data"]["kind"], letter["data"]["code"]) == ("invalid", code)
    raw = value if isinstance(value, bytes) else _dumps(value)
    data = letter["data"]
    assert (data["value"].encode() if "value" in data else base64.b64decode(data["valueBase64"])) == raw

    def answers_it(message: dict[str, Any]) -> bool:
        return bool(message["data"]["aggregateId"] == key and message["type"] == "CommandRejected")

    outcome = await asyncio.to_thread(await_message, system.settings, "command-outcomes", answers_it)
    assert outcome["data"]["code"] == code
    await api.order(key)  # later commands with the same key were handled


def _dumps(value: Any) -> bytes:
    return json.dumps(value).encode()


async def test_an_invalid_message_without_a_type_is_answered_without_one(system: System) -> None:
    for key, value in (("typeless-1", b"\x00\x01"), ("typeless-2", b'{"type": {"a": 1}, "data": {}}')):
        produce(system.settings, "order-commands", key, value)
        letter = await asyncio.to_thread(
            await_message, system.settings, "dead-letters", lambda message, key=key: message["data"].get("key") == key
        )
        assert "commandType" not in letter["data"]
        outcome = await asyncio.to_thread(
            await_message, system.settings, "command-outcomes", lambda m, key=key: m["data"]["aggregateId"] == key
        )
        assert outcome["data"]["commandType"] == ""


def binary(command_id: str, name: str, **more: str) -> list[tuple[str, bytes]]:
    """Return the headers of a command in CloudEvents' binary mode, as its SDKs send them."""
    attributes = {"specversion": "1.0", "id": command_id, "source": "/shop", "type": name, **more}
    headers = {"content-type": "application/json", **{f"ce_{name}": value for name, value in attributes.items()}}
    return [(name, value.encode()) for name, value in headers.items()]


async def test_commands_in_binary_mode_are_handled_like_any_others(system: System, api: Api) -> None:
    def send(key: str, headers: list[tuple[str, bytes]], value: Any) -> None:
        for partition in range(2):  # at least one of them is not the partition of the key; a repeat has no effect
            produce(system.settings, "order-commands", key, value, partition, headers)

    await api.stock("binary-boots", 5)
    flow = {"correlationid": "binary-flow"}
    send("binary-1", binary("binary-place", "PlaceOrder", **flow), placed("binary-boots", 3))
    order = await api.order("binary-1", lambda order: order["allocationStatus"] == "ALLOCATED")
    lines = [{"lineId": "1", "quantity": 1}]
    send("binary-1", binary("binary-ship", "CreateShipment", expectedversion=str(order["version"]), **flow),
         {"lines": lines})  # fmt: skip
    order = await api.order("binary-1", lambda order: order["shipments"])
    assert [line["shipped"] for line in order["items"]] == [1]
    send("binary-1", binary("binary-other", "CancelOrder", subject="binary-2"), {})
    rejected = await asyncio.to_thread(
        await_message, system.settings, "command-outcomes", lambda m: m["data"]["commandId"] == "binary-other"
    )
    assert "the Kafka key is 'binary-1' and subject is 'binary-2'" in rejected["data"]["message"]
    assert (await api.order("binary-1"))["status"] == "PARTIALLY_SHIPPED"

    traced = await asyncio.to_thread(system.run, "trace", "binary-flow", "--json")
    assert [(node["id"], node["type"]) for node in json.loads(traced.stdout)] == [
        ("binary-place", "PlaceOrder"), ("binary-ship", "CreateShipment"),
    ]  # fmt: skip
    tail = ("tail", "order-commands", "--key", "binary-1", "--from-beginning", "--no-follow", "--json")
    shown = [json.loads(line)["value"] for line in (await asyncio.to_thread(system.run, *tail)).stdout.splitlines()]
    assert {(each["id"], each["type"], each.get("correlationid")) for each in shown} >= {
        ("binary-place", "PlaceOrder", "binary-flow"), ("binary-other", "CancelOrder", None),
    }  # fmt: skip
    here = partition_of(b"binary-1", system.settings.partitions)
    produce(system.settings, "order-commands", "binary-1", {}, here, binary("binary-hold", "Hold"))
    status, message, _ = await api("GET", "/messages/order-commands/binary-hold?key=binary-1")
    assert (status, message["data"]["value"], message["data"]["headers"][-1]) == (
        200, "{}", {"name": "ce_type", "value": "Hold"},
    )  # fmt: skip


async def test_a_command_on_a_foreign_partition_is_moved_in_order(system: System, api: Api) -> None:
    await api.stock("moved-boots", 100)
    for partition in range(3):  # at least two of them are not the partition of the key
        produce(
            system.settings,
            "order-commands",
            f"moved-{partition}",
            {"type": "PlaceOrder", "data": placed("moved-boots")},
            partition,
        )
        produce(
            system.settings,
            "order-commands",
            f"moved-{partition}",
            {"type": "Hold", "data": {"reason": "a"}},
            partition,
        )
        produce(
            system.settings,
            "order-commands",
            f"moved-{partition}",
            {"type": "Hold", "data": {"reason": "b"}},
            partition,
        )
    for partition in range(3):
        order = await api.order(f"moved-{partition}", lambda order: order["hold"] == {"reason": "b"})
        assert order["allocationStatus"] in ("PENDING", "ALLOCATED")
        events = messages(system.settings, "order-events", lambda m, key=f"moved-{partition}": m["subject"] == key)
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))


async def test_the_same_command_twice_has_one_effect_and_one_answer(system: System, api: Api) -> None:
    command = {"id": "twice-1", "type": "ReceiveStock", "data": {"quantity": 5}}
    for _ in range(3):
        produce(system.settings, "inventory-commands", "twice-boots", command)
    await asyncio.to_thread(system.quiet)
    _, stock, _ = await api("GET", "/inventory/twice-boots")
    assert stock["data"]["onHandQuantity"] == 5
    outcomes = messages(system.settings, "command-outcomes", lambda m: m["data"]["commandId"] == "twice-1")
    assert len(outcomes) == 3
    assert all(outcome["data"] == outcomes[0]["data"] for outcome in outcomes)
