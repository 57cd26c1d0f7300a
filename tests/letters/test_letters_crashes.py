"""A crash during a retry and letters of the largest size lose, repeat and block nothing."""

import json
from typing import Any

from confluent_kafka import Producer
from kafka import messages, produce
from letters_desk import ORDER
from system import System, wait_until

LIMIT = 4_194_304  # bytes: message.max.bytes of the local broker


def events(system: System, key: str) -> list[Any]:
    return messages(system.settings, "order-events", lambda message: message["subject"] == key)


def send(system: System, key: str, *commands: dict[str, Any]) -> None:
    producer = Producer({"bootstrap.servers": system.settings.kafka, "message.max.bytes": LIMIT})
    for command in commands:
        producer.produce("order-commands", json.dumps(command).encode(), key)
    assert producer.flush(120) == 0


def test_a_worker_killed_during_a_retry_loses_and_repeats_nothing(system: System, worker: Any) -> None:
    count = 1_500  # three transactions
    holds = [{"type": "Hold" if n % 2 else "Release", "id": f"k-{n}", "data": {}} for n in range(1, count + 1)]
    with worker("orders", FULFILLMENT_FAULTS="raise:Hold") as broken:
        send(system, "killed", {"type": "PlaceOrder", "data": ORDER}, *holds)
        wait_until(lambda: broken.parked() == {"order-commands": count}, "all to be parked")
    with worker("orders") as fixed:
        produce(system.settings, "order-commands", "killed", {"type": "RetryLetters", "data": {}})
        wait_until(lambda: fixed.parked() not in (None, {"order-commands": count}), "the retry to begin")
        fixed.process.kill()
    with worker("orders") as again:
        system.run("letters", "retry", "--all")
        wait_until(lambda: again.parked() == {}, "none to be left")
    found = events(system, "killed")
    assert [event["sequence"] for event in found] == list(range(1, count + 2))
    assert [event["causationid"] for event in found[1:]] == [f"k-{n}" for n in range(1, count + 1)]


def test_a_huge_command_is_parked_and_retried_like_any_other(system: System, worker: Any) -> None:
    junk = "\u0001" * 600_000  # six bytes each in JSON
    with worker("orders", FULFILLMENT_FAULTS="raise:Hold") as broken:
        send(system, "huge", {"type": "PlaceOrder", "data": ORDER})
        send(system, "huge", {"type": "Hold", "id": "huge-1", "data": {"reason": "r"}, "junk": junk})
        send(system, "well", {"type": "PlaceOrder", "data": ORDER})
        wait_until(lambda: bool(events(system, "well")), "the other commands to be handled")
        wait_until(lambda: broken.parked() == {"order-commands": 1}, "it to be parked")
    with worker("orders"):
        assert system.run("letters", "retry", "huge").stdout == "order huge: 1 handled, 0 left\n"
    assert [event["type"] for event in events(system, "huge")] == ["OrderPlaced", "OrderHeld"]
