"""Where deliveries begin: the offsets of the event topics at a time."""

from collections.abc import Mapping
from datetime import datetime

from aiokafka import TopicPartition

from streams.kafka.consuming import consuming
from streams.runtime.settings import Settings
from streams.topics import Topic
from streams.topology import AGGREGATES

EVENTS: tuple[Topic, ...] = tuple(each.events for each in AGGREGATES.values())


def name_of(topic: Topic, partition: int) -> str:
    """Return the name of a partition for clients, without the installation's prefix."""
    return f"{topic.name}/{partition}"


def names(settings: Settings) -> list[str]:
    """Return the names of all partitions with events."""
    return [name_of(topic, number) for topic in EVENTS for number in range(settings.partitions)]


def partition_named(name: str, settings: Settings) -> TopicPartition:
    """Return the partition with a name."""
    topic, _, number = name.partition("/")
    return TopicPartition(settings.named(topic), int(number))


async def ends(settings: Settings) -> dict[str, int]:
    """Return the ends of the partitions with events, by name."""
    async with consuming(settings, "webhooks-positions") as consumer:
        by_name = {name: partition_named(name, settings) for name in names(settings)}
        found: Mapping[TopicPartition, int] = await consumer.end_offsets(list(by_name.values()))
        return {name: found[at] for name, at in by_name.items()}


def after(wanted: Mapping[str, int], ends: Mapping[str, int]) -> dict[str, str]:
    """Return what is wrong with offsets after the end: a consumer that begins there reads everything again."""
    late = {name: ends[name] for name, offset in wanted.items() if offset > ends[name]}
    return {name: f"must be at most {end}, where the partition ends" for name, end in late.items()}


async def at_time(settings: Settings, moment: str) -> dict[str, int]:
    """Return the positions of the first events that Kafka received at a time or later."""
    async with consuming(settings, "webhooks-positions") as consumer:
        by_name = {name: partition_named(name, settings) for name in names(settings)}
        milliseconds = max(int(datetime.fromisoformat(moment).timestamp() * 1000), 0)
        last = await consumer.end_offsets(list(by_name.values()))
        found = await consumer.offsets_for_times(dict.fromkeys(by_name.values(), milliseconds))
        return {name: found[at].offset if found.get(at) else last[at] for name, at in by_name.items()}
