"""The topics as a table, and the code that creates them and refuses topics that do not match.

TopicMismatch                  a topic exists with other settings than ours
TopicsNotShown                 topics were created, and the broker does not show them
UnfinishedImport               an import of an archive was interrupted, or is running
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from streams.kafka.clients import librdkafka_config
from streams.runtime.settings import Settings

LARGEST = "max.message.bytes"
TIMESTAMPS, BROKERS_CLOCK = "message.timestamp.type", "LogAppendTime"
CONFIG_SECONDS = 2.0  # time limit of a request for the settings of topics
DAY = 86_400_000  # milliseconds
FOREVER = -1
LARGEST_LETTER = 32 << 20  # bytes: JSON escapes make a message of the broker's limit (4 MiB here) six times as large


class TopicMismatch(Exception):
    """A topic exists already, with other settings than required."""


class TopicsNotShown(Exception):
    """The broker has created topics, and does not show them."""


class UnfinishedImport(Exception):
    """An import of an archive was interrupted, or is running."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: its name without prefix, the meaning of its key, and how long it keeps its records."""

    name: str
    key: str
    cleanup: str = "delete"
    retention_ms: int = FOREVER
    largest: int | None = None  # bytes of a record batch; None: the broker's own limit

    def config(self) -> dict[str, str]:
        """Return the broker's settings of the topic."""
        largest = {} if self.largest is None else {LARGEST: str(self.largest)}
        kept = {"cleanup.policy": self.cleanup, "retention.ms": str(self.retention_ms)}
        return kept | {TIMESTAMPS: BROKERS_CLOCK} | largest


ORDER_COMMANDS = Topic("order-commands", "order id", retention_ms=7 * DAY)
ORDER_EVENTS = Topic("order-events", "order id")
INVENTORY_COMMANDS = Topic("inventory-commands", "product id", retention_ms=7 * DAY)
INVENTORY_EVENTS = Topic("inventory-events", "product id")
COMMAND_OUTCOMES = Topic("command-outcomes", "command id", retention_ms=7 * DAY)
DEAD_LETTERS = Topic("dead-letters", "original key", retention_ms=30 * DAY, largest=LARGEST_LETTER)
ORDER_STATES = Topic("orders-states-changelog", "table key", cleanup="compact", largest=LARGEST_LETTER)
STOCK_STATES = Topic("inventory-stock-changelog", "table key", cleanup="compact", largest=LARGEST_LETTER)
MESSAGE_TOPICS = (
    ORDER_COMMANDS, ORDER_EVENTS, INVENTORY_COMMANDS, INVENTORY_EVENTS, COMMAND_OUTCOMES, DEAD_LETTERS,
)  # fmt: skip
TOPICS = (*MESSAGE_TOPICS, ORDER_STATES, STOCK_STATES)
UNFINISHED_IMPORT = "unfinished-import"  # exists while an import writes events whose tables are not complete


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as the broker describes it."""

    name: str
    partitions: int
    cleanup_policy: str
    retention_ms: int
    id: str
    timestamps: str = BROKERS_CLOCK

    @property
    def has_producers_times(self) -> bool:
        """Whether its records have the times that their producers give."""
        return self.timestamps != BROKERS_CLOCK


async def ensure_topics(settings: Settings) -> list[str]:
    """Create missing topics and return their names; raise `TopicMismatch` if an existing one does not match."""
    return await asyncio.to_thread(_ensure, settings)


async def describe_topics(settings: Settings) -> list[TopicDescription]:
    """Return our topics that exist."""
    return await asyncio.to_thread(lambda: list(_describe(admin(settings), settings).values()))


def refuse_unfinished_import(settings: Settings) -> None:
    """Raise `UnfinishedImport` if an import has begun and not ended: there are events that are in no table. Blocks."""
    if settings.named(UNFINISHED_IMPORT) in admin(settings).list_topics(timeout=20).topics:
        raise UnfinishedImport(
            "an import into this installation is not finished: run `fulfillment import` again with the same archive"
        )


def largest_batches(settings: Settings, topics: Iterable[str]) -> dict[str, int]:
    """Return `max.message.bytes` of topics (full names), as far as the broker reports it."""
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    found, client = {}, admin(settings)
    for resource, future in client.describe_configs(resources, request_timeout=CONFIG_SECONDS).items():
        with suppress(KafkaException, TimeoutError):  # the broker may be unreachable, or refuse the request
            found[resource.name] = int(future.result(CONFIG_SECONDS)[LARGEST].value)
    return found


def admin(settings: Settings) -> AdminClient:
    """Return an admin client; keep it as long as its futures are awaited, because they end with it."""
    return AdminClient(librdkafka_config(settings))


def _ensure(settings: Settings) -> list[str]:
    client = admin(settings)
    there = _describe(client, settings)
    for topic in TOPICS:
        if found := there.get(settings.named(topic.name)):
            refuse_mismatch(topic, found, settings)
    _use_brokers_clock(client, [each.name for each in there.values() if each.has_producers_times])
    missing = [
        NewTopic(settings.named(t.name), settings.partitions, settings.replication, config=t.config())
        for t in TOPICS
        if settings.named(t.name) not in there
    ]
    if not missing:
        return []
    created = client.create_topics(missing, operation_timeout=20, request_timeout=30)
    ours = sorted(name for name, future in created.items() if _created(future))
    wait_for_topics(client, set(created))
    return ours


def _use_brokers_clock(client: AdminClient, names: list[str]) -> None:
    """Let the broker set the times of new records in topics that older code created."""
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry

    entry = ConfigEntry(TIMESTAMPS, BROKERS_CLOCK, incremental_operation=AlterConfigOpType.SET)
    wanted = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry]) for name in names]
    for resource, future in (client.incremental_alter_configs(wanted) if wanted else {}).items():
        try:
            future.result(30)
        except KafkaException as error:
            raise TopicMismatch(
                f"topic {resource.name} has {TIMESTAMPS} CreateTime, and Kafka refuses to change it "
                f"({error.args[0].str()}): set it to {BROKERS_CLOCK}"
            ) from error


def wait_for_topics(client: AdminClient, names: set[str]) -> None:
    """Return when the broker shows created topics, which may take a second after it confirmed them."""
    for attempt in Retrying(
        retry=retry_if_exception_type(TopicsNotShown), stop=stop_after_delay(30), wait=wait_fixed(0.05), reraise=True
    ):
        with attempt:
            if missing := names - client.list_topics(timeout=20).topics.keys():
                raise TopicsNotShown(
                    f"created 30 s ago, and not shown by the broker yet: {', '.join(sorted(missing))}; look at its log"
                )


def _created(future: Any) -> bool:
    try:
        future.result(30)
        return True
    except KafkaException as error:
        if error.args[0].name() == "TOPIC_ALREADY_EXISTS":  # another worker was faster
            return False
        raise


def refuse_mismatch(topic: Topic, found: TopicDescription, settings: Settings) -> None:
    """Raise `TopicMismatch` if a topic does not match; the sentence says how to fix it."""
    wanted = (settings.partitions, topic.cleanup, topic.retention_ms)
    actual = (found.partitions, found.cleanup_policy, found.retention_ms)
    if topic.cleanup == "compact":  # retention means nothing without delete
        wanted, actual = (*wanted[:2], 0), (*actual[:2], 0)
    names = ("partitions", "cleanup.policy", "retention.ms")
    for name, want, have in zip(names, wanted, actual, strict=True):
        if want != have:
            raise TopicMismatch(
                f"topic {found.name} has {name} {have}, this installation needs {want}: "
                + (
                    f"set FULFILLMENT_PARTITIONS={have}, or use another FULFILLMENT_PREFIX"
                    if name == "partitions"
                    else "change the topic's setting on the broker, or use another FULFILLMENT_PREFIX"
                )
            )


def _describe(client: AdminClient, settings: Settings) -> dict[str, TopicDescription]:
    from confluent_kafka import TopicCollection

    existing = client.list_topics(timeout=20).topics
    names = [settings.named(t.name) for t in TOPICS if settings.named(t.name) in existing]
    if not names:
        return {}
    described = client.describe_topics(TopicCollection(names), request_timeout=20)
    configs = client.describe_configs([ConfigResource(ResourceType.TOPIC, n) for n in names], request_timeout=20)
    config = {resource.name: future.result(30) for resource, future in configs.items()}
    return {name: _description(future.result(30), config[name]) for name, future in described.items()}


def _description(topic: Any, config: dict[str, Any]) -> TopicDescription:
    return TopicDescription(
        name=topic.name,
        partitions=len(topic.partitions),
        cleanup_policy=config["cleanup.policy"].value,
        retention_ms=int(config["retention.ms"].value),
        id=str(topic.topic_id),
        timestamps=config[TIMESTAMPS].value,
    )
