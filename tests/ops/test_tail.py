"""`fulfillment tail` and `fulfillment status --watch`, on the real topics and the real system."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from uuid import uuid4

import pytest
from system import FULFILLMENT, PATIENCE_SECONDS, Api, System, eventually

from ops.commands.tail import as_json, as_text
from ops.kafka import records
from ops.kafka.tailing import Message, Wanted, decoded, messages


def on_topics(system: System, wanted: Wanted, last: int = 0) -> list[Message]:
    """Return all messages on the topics, or the newest."""
    found = messages(system.settings, wanted, from_beginning=not last, last=last, follow=False)
    return list(found)


async def test_messages_are_filtered_by_topic_type_and_key(system: System, api: Api) -> None:
    product, order = f"tail-{uuid4().hex[:8]}", f"order-{uuid4().hex[:8]}"
    await api.stock(product, 5)
    await api.place((product, 1), orderId=order)
    await api.order(order, lambda found: found["allocationStatus"] == "ALLOCATED")
    topics = ("order-commands", "order-events")
    found = await asyncio.to_thread(on_topics, system, Wanted(topics, frozenset(), order))
    assert [(each.topic, each.type) for each in found] == [
        ("order-commands", "PlaceOrder"),
        ("order-commands", "RecordAllocation"),
        ("order-events", "OrderPlaced"),
        ("order-events", "AllocationRecorded"),
    ]
    placed = frozenset({"OrderPlaced"})
    (one,) = await asyncio.to_thread(on_topics, system, Wanted(topics, placed, order))
    assert f"  {order}  " in as_text(one)
    assert '"policy":"BACKORDER"' in as_text(one)
    assert json.loads(as_json(one))["value"]["subject"] == order
    newest = await asyncio.to_thread(on_topics, system, Wanted(topics, frozenset(), order), 3)
    assert {each.type for each in newest} >= {"AllocationRecorded", "RecordAllocation"}
    assert (len(newest), newest) == (3, sorted(newest, key=lambda each: each.time))


async def test_new_messages_are_shown(system: System, api: Api) -> None:
    product = f"tail-{uuid4().hex[:8]}"
    wanted = Wanted(("inventory-events", "command-outcomes"), frozenset({"StockAdjusted"}), product)
    coming: Iterator[Message] = messages(system.settings, wanted, from_beginning=False, last=0, follow=True)
    first = asyncio.create_task(asyncio.to_thread(next, coming))
    quantities = iter(range(1, 1_000))

    async def change() -> bool:
        await api.stock(product, next(quantities))
        return first.done()

    await eventually(change, bool, pause=0.2)
    message = await first
    assert (message.topic, message.key, message.type) == ("inventory-events", product, "StockAdjusted")
    await asyncio.to_thread(coming.close)  # type: ignore[attr-defined]


async def test_a_message_that_arrives_meanwhile_is_shown_once(
    system: System, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest messages end where the new ones begin."""
    product, reading = f"tail-{uuid4().hex[:8]}", asyncio.get_running_loop()
    await api.stock(product, 1)
    ends_of, quantities = records.ends_of, iter(range(2, 1_000))

    def change() -> None:
        asyncio.run_coroutine_threadsafe(api.stock(product, next(quantities)), reading).result(PATIENCE_SECONDS)

    def then_change(span: records.Span) -> dict[int, int]:
        change()
        return ends_of(span)

    monkeypatch.setattr(records, "ends_of", then_change)
    wanted = Wanted(("inventory-events",), frozenset({"StockAdjusted"}), product)
    coming: Iterator[Message] = messages(system.settings, wanted, from_beginning=False, last=5, follow=True)
    shown = [await asyncio.to_thread(next, coming) for _ in range(3)]
    await asyncio.to_thread(coming.close)  # type: ignore[attr-defined]
    assert [each.value["sequence"] for each in shown] == [1, 2, 3]


def test_text_and_control_characters_are_shown_escaped() -> None:
    bell = Message("order-commands", 0, 7, "2026-11-23T10:00:00.000Z", "a\x1b[2J", "\x07 no JSON\n")
    assert "a\\u001b[2J" in as_text(bell)
    assert as_text(bell).endswith("\n    \\u0007 no JSON\\u000a")


def test_an_unknown_topic_is_refused(system: System) -> None:
    done = system.run("tail", "orders", check=False)
    assert done.returncode == 78
    assert "There is no topic 'orders': choose from order-commands, " in done.stderr


def test_the_status_is_shown_repeatedly(system: System) -> None:
    system.quiet()
    watch = [*FULFILLMENT, "status", "--watch", "--json", "--interval", "0.2"]
    with subprocess.Popen(watch, env=system.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            looks = [json.loads(process.stdout.readline()) for _ in range(3)]
            while not looks[-1]["ready"]:  # a busy worker may not answer in time
                looks.append(json.loads(process.stdout.readline()))
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    assert all({"ready", "processes", "lag"} <= look.keys() for look in looks)


@pytest.mark.parametrize("depth", [300, 1_000, 2_000])
def test_a_message_nested_too_deeply_to_encode_is_shown_as_text(depth: int) -> None:
    value = b'{"type":"Hold","source":' + b"[" * depth + b"]" * depth + b"}"
    record = SimpleNamespace(topic="order-commands", partition=0, offset=7, key=b"o-1", timestamp=0, value=value)
    for headers in ([], [("ce_source", b"x")]):
        record.headers = headers
        (message,) = decoded([record], Wanted(("order-commands",), frozenset(), None))
        assert "[[[[" in as_json(message)
        assert "[[[[" in as_text(message)
