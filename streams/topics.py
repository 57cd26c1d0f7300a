"""The topics as a table, and how the broker describes them. `streams/topic_setup.py` creates and checks them.

TopicsNotShown                 topics were created, and the broker does not show them
UnfinishedImport               an import of an archive was interrupted, or is running
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ConfigSource, ResourceType
from tenacity import (
    Retrying,
    retry,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_delay,
    wait_fixed,
)

from streams.kafka.clients import librdkafka_config
from streams.runtime.settings import Settings

LARGEST, CLEANUP, RETENTION = "max.message.bytes", "cleanup.policy", "retention.ms"
ASK_SECONDS = 20.0
LOST_SECONDS = 30.0  # for how long a request that is lost with its broker is repeated
CONFIG_SECONDS = 2.0  # time limit of a request for the settings of topics
DAY = 86_400_000  # milliseconds
FOREVER = -1
TOMBSTONES_MS = DAY  # least time that a changelog keeps a record which deletes an entry
LARGEST_LETTER = 32 << 20  # bytes: JSON escapes make a message of the broker's limit (4 MiB here) six times as large


class TopicsNotShown(Exception):
    """The broker has created topics, and does not show them."""


class UnfinishedImport(Exception):
    """An import of an archive was interrupted, or is running."""

    def __init__(self) -> None:
        super().__init__(
            "an import into this installation is not finished: run `fulfillment import` again with the same archive"
        )


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: its name without prefix, the meaning of its key, and how long it keeps its records."""

    name: str
    key: str
    cleanup: str = "delete"
    retention_ms: int = FOREVER
    largest: int | None = None  # bytes of a record batch; None: the broker's own limit
    tombstones_ms: int = TOMBSTONES_MS  # how long a compacted topic keeps the tombstone of a key
    compacted_ms: int | None = None  # after how long it must be compacted; None: when the broker decides


ORDER_COMMANDS = Topic("order-commands", "order id", retention_ms=7 * DAY)
ORDER_EVENTS = Topic("order-events", "order id")
INVENTORY_COMMANDS = Topic("inventory-commands", "product id", retention_ms=7 * DAY)
INVENTORY_EVENTS = Topic("inventory-events", "product id")
COMMAND_OUTCOMES = Topic("command-outcomes", "command id", retention_ms=7 * DAY)
DEAD_LETTERS = Topic("dead-letters", "original key", retention_ms=30 * DAY, largest=LARGEST_LETTER)
ORDER_STATES = Topic("orders-states-changelog", "table key", cleanup="compact", largest=LARGEST_LETTER)
STOCK_STATES = Topic("inventory-stock-changelog", "table key", cleanup="compact", largest=LARGEST_LETTER)
# Only if personal data is encrypted. The tombstone of a key is kept for ten years, so that a projector that was down
# for long deletes its copy of the key, too.
CUSTOMER_KEYS = Topic(
    "customer-keys", "customer and partition", cleanup="compact", compacted_ms=DAY, tombstones_ms=3_650 * DAY
)
# Subscriptions to events over HTTP contain secrets, so the tombstone of one takes effect within a day.
WEBHOOKS = Topic("webhooks", "subscription id", cleanup="compact", compacted_ms=DAY)
MESSAGE_TOPICS = (
    ORDER_COMMANDS, ORDER_EVENTS, INVENTORY_COMMANDS, INVENTORY_EVENTS, COMMAND_OUTCOMES, DEAD_LETTERS,
)  # fmt: skip
TOPICS = (*MESSAGE_TOPICS, ORDER_STATES, STOCK_STATES, WEBHOOKS)
EVERY_TOPIC = (*TOPICS, CUSTOMER_KEYS)  # with topics that not every installation has
_FORGETFUL = replace(ORDER_STATES, compacted_ms=CUSTOMER_KEYS.compacted_ms)  # it contains the keys of customers, too
UNFINISHED_IMPORT = "unfinished-import"  # exists while an import writes events whose tables are not complete


@dataclass(frozen=True, slots=True)
class ExistingTopic:
    """A topic that exists: its full name, its id, and how many partitions and replicas it has."""

    name: str
    id: str
    partitions: int
    replicas: int  # the number that the partition with the fewest replicas has


@dataclass(frozen=True, slots=True)
class TopicDescription(ExistingTopic):
    """An existing topic with its settings on the broker; `own` are those stored in the topic, others are defaults."""

    config: Mapping[str, str]
    own: frozenset[str]

    @property
    def cleanup_policy(self) -> str:
        """The treatment of old records: `delete`, `compact` or both."""
        return self.config[CLEANUP]

    @property
    def retention_ms(self) -> int:
        """Milliseconds that it keeps a record for; negative: forever."""
        return int(self.config[RETENTION])


def topics_of(settings: Settings) -> tuple[Topic, ...]:
    """Return the topics that an installation with these settings needs."""
    if settings.encrypts_personal_data:
        return (*MESSAGE_TOPICS, _FORGETFUL, STOCK_STATES, WEBHOOKS, CUSTOMER_KEYS)
    return TOPICS


async def find_topics(settings: Settings, topics: Iterable[Topic]) -> dict[str, ExistingTopic]:
    """Return by full name those of the topics that exist. This needs no right to see their settings."""
    names = [settings.named(topic.name) for topic in topics]
    return await asyncio.to_thread(lambda: find(admin(settings), names))  # a client may wait for a token


async def topic_ids(settings: Settings, topics: Iterable[Topic] = TOPICS) -> dict[str, str]:
    """Return the ids of those topics that exist, by full name."""
    return {name: found.id for name, found in (await find_topics(settings, topics)).items()}


async def describe_topics(settings: Settings) -> list[TopicDescription]:
    """Return our topics that exist."""
    return await asyncio.to_thread(lambda: list(describe(admin(settings), settings).values()))


def has_customer_keys(settings: Settings) -> bool:
    """Return whether the topic of customers' keys exists, also if personal data is no longer encrypted. Blocks."""
    try:
        return bool(find(admin(settings), [settings.named(CUSTOMER_KEYS.name)]))
    except KafkaException as error:
        if settings.encrypts_personal_data or error.args[0].name() != "TOPIC_AUTHORIZATION_FAILED":
            raise
        return False  # no right on it was ever needed here


def refuse_unfinished_import(settings: Settings) -> None:
    """Raise `UnfinishedImport` if an import has begun and not ended: there are events that are in no table. Blocks."""
    try:
        unfinished = find(admin(settings), [settings.named(UNFINISHED_IMPORT)])
    except KafkaException as error:
        if error.args[0].name() != "TOPIC_AUTHORIZATION_FAILED":
            raise
        return  # a role may lack the right to see it; `topics create`, which runs before the workers, refuses
    if unfinished:
        raise UnfinishedImport


def largest_batches(settings: Settings, topics: Iterable[str]) -> dict[str, int]:
    """Return `max.message.bytes` of topics (full names), as far as the broker reports it."""
    resources, found = [ConfigResource(ResourceType.TOPIC, name) for name in topics], {}
    with suppress(KafkaException):  # without a token, or with an unusable certificate
        client = admin(settings)
        for resource, future in client.describe_configs(resources, request_timeout=CONFIG_SECONDS).items():
            with suppress(KafkaException, TimeoutError):  # the broker may be unreachable, or refuse the request
                found[resource.name] = int(future.result(CONFIG_SECONDS)[LARGEST].value)
    return found


def admin(settings: Settings) -> AdminClient:
    """Return an admin client; keep it as long as its futures are awaited, because they end with it."""
    return AdminClient(librdkafka_config(settings))


def wait_for_topics(client: AdminClient, names: set[str]) -> None:
    """Return when the broker shows created topics, which may take a second after it confirmed them."""
    for attempt in Retrying(
        retry=retry_if_exception_type(TopicsNotShown), stop=stop_after_delay(30), wait=wait_fixed(0.05), reraise=True
    ):
        with attempt:
            if missing := names - find(client, names).keys():
                raise TopicsNotShown(
                    f"created 30 s ago, and not shown by the broker yet: {', '.join(sorted(missing))}; look at its log"
                )


def _is_lost(error: BaseException) -> bool:
    """Return whether a request was lost with its broker, which the cluster does not list at the moment."""
    return isinstance(error, KafkaException) and error.args[0].name() == "_DESTROY_BROKER"


# While a cluster starts, or a broker is replaced, librdkafka forgets brokers together with the requests they were sent.
again_if_lost = retry(
    retry=retry_if_exception(_is_lost), stop=stop_after_delay(LOST_SECONDS), wait=wait_fixed(0.5), reraise=True
)


@again_if_lost
def find(client: AdminClient, names: Collection[str]) -> dict[str, ExistingTopic]:
    """Return by full name those topics that exist. Blocks."""
    described = client.describe_topics(TopicCollection(list(names)), request_timeout=ASK_SECONDS)
    found = {}
    for name, future in described.items():
        try:
            found[name] = _existing(future.result(ASK_SECONDS))
        except KafkaException as error:
            if error.args[0].name() != "UNKNOWN_TOPIC_OR_PART":
                raise
    return found


def describe(client: AdminClient, settings: Settings) -> dict[str, TopicDescription]:
    """Return by full name those of our topics that exist, with their settings. Blocks."""
    found = find(client, [settings.named(topic.name) for topic in topics_of(settings)])
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in found]
    asked = client.describe_configs(resources, request_timeout=ASK_SECONDS) if found else {}
    return {
        resource.name: _description(found[resource.name], future.result(ASK_SECONDS))
        for resource, future in asked.items()
    }


def _existing(topic: Any) -> ExistingTopic:
    replicas = min(len(partition.replicas) for partition in topic.partitions)
    return ExistingTopic(topic.name, str(topic.topic_id), len(topic.partitions), replicas)


def _description(found: ExistingTopic, config: Mapping[str, Any]) -> TopicDescription:
    own = frozenset(name for name, entry in config.items() if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value)
    values = {name: entry.value for name, entry in config.items()}
    return TopicDescription(found.name, found.id, found.partitions, found.replicas, values, own)
