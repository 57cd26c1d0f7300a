"""Creates the topics, and finds topics that would lose records, or are not the ones that this installation needs.

A broker's defaults can change under a topic, so everything that keeps records is stored in the topic itself. An
existing topic that differs is corrected where this only keeps more than before, refused where records would be read
differently or an operator decided how long they are kept, and reported where only an operator can help. Managed
services do not let everyone alter everything: a default that is right already need not be stored.

TopicMismatch                  a topic exists with other settings than ours, and is not corrected
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from streams.runtime.settings import Settings
from streams.topics import (
    CLEANUP,
    DAY,
    FOREVER,
    LARGEST,
    RETENTION,
    TOPICS,
    Topic,
    TopicDescription,
    TopicsNotShown,
    admin,
    describe,
    wait_for_topics,
)

log = logging.getLogger(__name__)

TIMESTAMPS = "message.timestamp.type"
SEGMENT, IN_SYNC = "segment.bytes", "min.insync.replicas"
SHOWN_SECONDS = 30.0
SAFE_REPLICAS = 3  # with two of them in sync, any broker may be lost, and another may be restarted


class TopicMismatch(Exception):
    """A topic exists already, with other settings than required."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A setting that a topic needs; `otherwise`: the damage of other values. With `least`, larger values do as well."""

    setting: str
    want: str
    otherwise: str
    least: bool = False

    def holds(self, have: str) -> bool:
        """Return whether a value does."""
        return int(have) >= int(self.want) if self.least else have == self.want


def requirements(topic: Topic, replicas: int) -> tuple[Requirement, ...]:
    """Return what a topic needs so that no record is lost or refused; all of it can be corrected at any time."""
    return (_UNLIMITED, _CLEAN, _BROKERS_CLOCK, *_in_sync(replicas), *_kept(topic))


_UNLIMITED = Requirement("retention.bytes", str(FOREVER), "records are deleted when a partition grows beyond that size")
_CLEAN = Requirement(
    "unclean.leader.election.enable", "false", "a replica that lacks records may become the leader, and they are lost"
)
_BROKERS_CLOCK = Requirement(
    TIMESTAMPS, "LogAppendTime", "records are stamped by the clocks of their producers, and kept too long"
    " or not long enough"
)  # fmt: skip
_TOMBSTONES = Requirement(
    "delete.retention.ms", str(DAY), "a table whose restore takes longer gets entries back that were deleted", True
)


def _in_sync(replicas: int) -> Iterator[Requirement]:
    """Yield how many replicas must have a record; of two, the broker's default decides between safe and available."""
    if replicas >= SAFE_REPLICAS:
        yield Requirement(IN_SYNC, "2", "a record may be acknowledged that only one broker has", True)
    elif replicas == 1:
        yield Requirement(IN_SYNC, "1", "every record is refused, because there is one replica")


def _kept(topic: Topic) -> Iterator[Requirement]:
    if topic.cleanup == "compact":
        yield _TOMBSTONES
    if topic.largest:
        yield Requirement(LARGEST, str(topic.largest), "larger records are refused", True)


def config(topic: Topic, replicas: int) -> dict[str, str]:
    """Return the settings that a topic is created with."""
    kept = {CLEANUP: topic.cleanup, RETENTION: str(topic.retention_ms)}
    return kept | {each.setting: each.want for each in requirements(topic, replicas)}


async def ensure_topics(settings: Settings) -> list[str]:
    """Create missing topics and return their names; raise `TopicMismatch` if an existing one does not match."""
    return await asyncio.to_thread(_ensure, settings)


def _ensure(settings: Settings) -> list[str]:
    client = admin(settings)
    there = describe(client, settings)
    for topic in TOPICS:
        if found := there.get(settings.named(topic.name)):
            refuse_mismatch(topic, found, settings)
    _correct(client, there, settings)
    missing = {topic for topic in TOPICS if settings.named(topic.name) not in there}
    return _create(client, missing, settings) if missing else []


def _create(client: AdminClient, missing: set[Topic], settings: Settings) -> list[str]:
    replicas = settings.replication
    new = [NewTopic(settings.named(t.name), settings.partitions, replicas, config=config(t, replicas)) for t in missing]
    created = client.create_topics(new, operation_timeout=20, request_timeout=30)
    ours = sorted(name for name, future in created.items() if _created(future))
    wait_for_topics(client, set(created))
    _correct(client, {name: found for name, found in describe(client, settings).items() if name in ours}, settings)
    return ours


def _created(future: Any) -> bool:
    try:
        future.result(30)
        return True
    except KafkaException as error:
        if error.args[0].name() == "TOPIC_ALREADY_EXISTS":  # another worker was faster
            return False
        raise


def _correct(client: AdminClient, there: Mapping[str, TopicDescription], settings: Settings) -> None:
    """Correct wrong settings, then store the settings that are right only by the broker's default."""
    needed = {topic: found for topic in TOPICS if (found := there.get(settings.named(topic.name)))}
    wrong = {found.name: list(unmet(topic, found)) for topic, found in needed.items()}
    for name, error in _alter(client, {name: {one.setting: one.want for one in each} for name, each in wrong.items()}):
        first = wrong[name][0]
        raise TopicMismatch(
            f"topic {name} has {first.setting} {there[name].config[first.setting]}, and Kafka refuses to change it "
            f"({error.args[0].str()}): set it to {first.want}"
        ) from error
    _wait_until_corrected(client, settings, {name for name, corrected in wrong.items() if corrected})
    for name, corrected in wrong.items():
        for each in corrected:
            have = there[name].config[each.setting]
            log.warning("%s of %s was %s, and is %s now", each.setting, name, have, each.want)
    for name, error in _alter(client, {found.name: _defaults(topic, found) for topic, found in needed.items()}):
        log.info("the broker's defaults apply to %s, they cannot be stored in it: %s", name, error.args[0].str())


@retry(
    retry=retry_if_exception_type(TopicsNotShown), stop=stop_after_delay(SHOWN_SECONDS), wait=wait_fixed(0.05),
    reraise=True,
)  # fmt: skip
def _wait_until_corrected(client: AdminClient, settings: Settings, names: set[str]) -> None:
    """Return when the broker shows corrected settings, which may take a moment after it confirmed them."""
    there = describe(client, settings) if names else {}
    needed = {name: topic for topic in TOPICS if (name := settings.named(topic.name)) in there}
    if wrong := [name for name in sorted(names) if any(unmet(needed[name], there[name]))]:
        raise TopicsNotShown(
            f"corrected {SHOWN_SECONDS:.0f} s ago, and the broker still shows the old settings: {', '.join(wrong)}; "
            "look at its log"
        )


def _defaults(topic: Topic, found: TopicDescription) -> dict[str, str]:
    """Return the settings of a topic that are as needed because of the broker's defaults."""
    needed = {each.setting: each for each in requirements(topic, found.replicas) if each.setting not in found.own}
    return {name: have for name, each in needed.items() if each.holds(have := found.config[name])}


def _alter(client: AdminClient, wanted: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, KafkaException]]:
    """Store settings in topics; yield each topic for which the broker refuses it."""
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            name,
            incremental_configs=[
                ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
                for setting, value in each.items()
            ],
        )
        for name, each in wanted.items()
        if each
    ]
    for resource, future in (client.incremental_alter_configs(resources) if resources else {}).items():
        try:
            future.result(30)
        except KafkaException as error:
            yield resource.name, error


def unmet(topic: Topic, found: TopicDescription) -> Iterator[Requirement]:
    """Yield the requirements that an existing topic does not meet, all of which can be corrected."""
    for each in requirements(topic, found.replicas):
        if not each.holds(found.config[each.setting]):
            yield each
    largest = max(topic.largest or 0, int(found.config[LARGEST]))
    segment = Requirement(SEGMENT, str(largest), "records larger than a segment are refused", True)
    if not segment.holds(found.config[SEGMENT]):
        yield segment


def refuse_mismatch(topic: Topic, found: TopicDescription, settings: Settings) -> None:
    """Raise `TopicMismatch` if a topic does not match; the sentence says how to fix it."""
    wanted = (settings.partitions, topic.cleanup, topic.retention_ms)
    actual = (found.partitions, found.cleanup_policy, found.retention_ms)
    if topic.cleanup == "compact":  # retention means nothing without delete
        wanted, actual = (*wanted[:2], 0), (*actual[:2], 0)
    names = ("partitions", CLEANUP, RETENTION)
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
