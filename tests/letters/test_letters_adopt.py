"""A topic that was deleted and created again is refused until an operator adopts it."""

import asyncio
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import messages, produce
from system import Api, System, wait_until


def recreate(system: System, topic: str) -> None:
    """Delete a topic and create it again, empty, as an operator with Kafka's tools would."""
    admin = AdminClient({"bootstrap.servers": system.settings.kafka})
    admin.delete_topics([topic], operation_timeout=120)[topic].result(120)
    wait_until(lambda: topic not in admin.list_topics(timeout=120).topics, "the topic to be gone")
    config = {"retention.ms": "604800000", "cleanup.policy": "delete"}
    admin.create_topics([NewTopic(topic, 2, 1, config=config)], operation_timeout=120)[topic].result(120)


async def test_a_recreated_topic_is_refused_until_it_is_adopted(system: System, api: Api, worker: Any) -> None:
    with worker("orders") as first:
        await api.place(("adopted-boots", 1), orderId="adopted")
        running = await asyncio.to_thread(system.run, "topics", "adopt")
        assert running.stdout == "no topic was replaced: there is nothing to adopt\n"
        first.stop()
    await asyncio.to_thread(recreate, system, "order-commands")
    produce(system.settings, "order-commands", "adopted", {"type": "Hold", "data": {"reason": "after"}})
    with worker("orders", ready=False) as refusing:
        assert await asyncio.to_thread(refusing.process.wait, 120) == 78
    said = refusing.log.read_text()
    assert "topic order-commands is not the one this installation has read up to offset" in said
    assert "fulfillment topics adopt" in said
    adopted = await asyncio.to_thread(system.run, "topics", "adopt")
    assert adopted.stdout == "orders begins at the start of the new order-commands\n"
    with worker("orders"):
        await asyncio.to_thread(
            wait_until, lambda: len(events(system, "adopted")) == 2, "the new topic's command to be handled"
        )
        assert [(e["sequence"], e["type"]) for e in events(system, "adopted")] == [(1, "OrderPlaced"), (2, "OrderHeld")]
        assert (
            await asyncio.to_thread(system.run, "topics", "adopt")
        ).stdout == "no topic was replaced: there is nothing to adopt\n"


def events(system: System, key: str) -> list[Any]:
    return messages(system.settings, "order-events", lambda message: message["subject"] == key)


@pytest.mark.parametrize("topic", ["order-commands", "inventory-commands"])
async def test_nothing_is_adopted_while_workers_run(system: System, api: Api, worker: Any, topic: str) -> None:
    role = topic.partition("-")[0].replace("order", "orders")
    with worker("orders"), worker("inventory"):
        await api.stock("adopted-boots", 5)
        await api.place(("adopted-boots", 1))
        await asyncio.to_thread(wait_until, lambda: bool(messages(system.settings, topic)), "events")
        await asyncio.to_thread(recreate, system, topic)
        refused = await asyncio.to_thread(system.run, "topics", "adopt", check=False)
        assert refused.returncode == 1
        assert f"Workers of {role} are running" in refused.stderr
    adopted = await asyncio.to_thread(system.run, "topics", "adopt")
    assert adopted.stdout == f"{role} begins at the start of the new {topic}\n"
    with worker(role):
        pass
