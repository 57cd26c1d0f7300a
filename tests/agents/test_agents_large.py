"""A message accepted by the broker must not block others, however large the records about it would be."""

import json
import os

import pytest
from confluent_kafka import Producer
from kafka import await_message
from system import System

from streams.kafka.partitions import partition_of

LIMIT = 4_194_304  # bytes: message.max.bytes of the local broker


@pytest.mark.parametrize(
    "value",
    [
        os.urandom(3_900_000),
        b"\x00" * 3_900_000,
        json.dumps({"type": "ReceiveStock", "id": "x" * 3_900_000, "data": {"quantity": 1}}).encode(),
        json.dumps({"type": "x" * 3_900_000}).encode(),
    ],
    ids=["random", "zeros", "id", "type"],
)
def test_a_huge_message_blocks_no_other(system: System, value: bytes, request: pytest.FixtureRequest) -> None:
    key = f"huge-{request.node.callspec.id}"
    partition = partition_of(key.encode(), system.settings.partitions)
    producer = Producer({"bootstrap.servers": system.settings.kafka, "message.max.bytes": LIMIT})
    failed: list[object] = []
    for sent in (value, json.dumps({"type": "ReceiveStock", "id": f"behind-{key}", "data": {"quantity": 1}}).encode()):
        producer.produce(
            "inventory-commands",
            value=sent,
            key=key,
            partition=partition,
            on_delivery=lambda error, _: failed.append(error),
        )
    assert producer.flush(120) == 0
    assert failed == [None, None]
    await_message(system.settings, "command-outcomes", lambda m: m["data"]["commandId"] == f"behind-{key}")


def test_an_order_of_a_million_invalid_lines_blocks_no_other(system: System) -> None:
    """Describing every invalid line would take an outcome of a hundred megabytes."""
    lines = ",".join(["{}"] * 1_000_000)
    behind = {"type": "CancelOrder", "id": "behind-a-million", "data": {}}
    producer = Producer({"bootstrap.servers": system.settings.kafka, "message.max.bytes": LIMIT})
    for sent in (f'{{"type":"PlaceOrder","data":{{"lines":[{lines}]}}}}', json.dumps(behind)):
        producer.produce("order-commands", value=sent, key="a-million", partition=5)
    assert producer.flush(120) == 0
    await_message(system.settings, "command-outcomes", lambda m: m["data"]["commandId"] == "behind-a-million")
