"""Creates the topics, and finds topics that would lose records, or are not the ones that this installation needs.

A broker's defaults can change under a topic, so everything that keeps records is stored in the topic itself. An
existing topic that differs is corrected where this only keeps more than before, refused where records would be read
differently or an operator decided how long they are kept, and reported where only an operator can help, or stored
another value in the topic on purpose. Managed services do not let everyone set everything: a setting that they forbid
at creation is stored later, and a default that is right already need not be stored.

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
    FOREVER,
    LARGEST,
    RETENTION,
    TOMBSTONES_MS,
    Topic,
    TopicDescription,
    TopicsNotShown,
    admin,
    again_if_lost,
    describe,
    topics_of,
    wait_for_topics,
)

log = logging.getLogger(__name__)

TIMESTAMPS = "message.timestamp.type"
SEGMENT, IN_SYNC = "segment.bytes", "min.insync.replicas"
SHOWN_SECONDS = 30.0
FORBIDDEN = ("POLICY_VIOLATION", "INVALID_CONFIG")  # errors of a cluster that does not let us set a property
SAFE_REPLICAS = 3  # with two of them in sync, any broker may be lost, and another may be restarted


class TopicMismatch(Exception):
    """A topic exists already, with other settings than required."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A setting that a topic needs; `otherwise`: the damage of other values.

    With `least`, larger values do as well; with `most`, smaller ones.
    """

    setting: str
    want: str
    otherwise: str
    least: bool = False
    most: bool = False

    def holds(self, have: str) -> bool:
        """Return whether a value does."""
        if self.most:
            return int(have) <= int(self.want)
        return int(have) >= int(self.want) if self.least else have == self.want


def requirements(topic: Topic, replicas: int) -> tuple[Requirement, ...]:
    """Return what a topic needs so that no record is lost or refused."""
    return (_UNLIMITED, _CLEAN, _BROKERS_CLOCK, *_in_sync(replicas), *_kept(topic))


_UNLIMITED = Requirement("retention.bytes", str(FOREVER), "records are deleted when a partition grows beyond that size")
_CLEAN = Requirement(
    "unclean.leader.election.enable", "false", "a replica that lacks records may become the leader, and they are lost"
)
_BROKERS_CLOCK = Requirement(
    TIMESTAMPS, "LogAppendTime", "records are stamped by the clocks of their producers, and kept too long"
    " or not long enough"
)  # fmt: skip


# An operator who stores another value of these in a topic may have to: to save disk space, or to keep accepting records
# with one replica. Only the size of a topic that is kept forever may not be limited, because its events would be lost.
DECISIONS = frozenset({_UNLIMITED.setting, _CLEAN.setting, IN_SYNC})


def decided(topic: Topic, found: TopicDescription, each: Requirement) -> bool:
    """Return whether an unmet requirement is an operator's decision, which is reported and not undone."""
    kept_forever = each is _UNLIMITED and topic.retention_ms == FOREVER
    return each.setting in DECISIONS & found.own and not kept_forever


def _in_sync(replicas: int) -> Iterator[Requirement]:
    """Yield how many replicas must have a record; of two, the broker's default decides between safe and available."""
    if replicas >= SAFE_REPLICAS:
        yield Requirement(IN_SYNC, "2", "a record may be acknowledged that only one broker has", True)
    elif replicas == 1:
        yield Requirement(IN_SYNC, "1", "every record is refused, because there is one replica")


def _kept(topic: Topic) -> Iterator[Requirement]:
    if topic.cleanup == "compact":
        what = "a table whose restore takes longer gets entries back that were deleted"
        if topic.tombstones_ms > TOMBSTONES_MS:
            what = "a projector that was down for longer keeps keys that were erased"
        yield Requirement("delete.retention.ms", str(topic.tombstones_ms), what, True)
    if topic.compacted_ms:
        what = "the broker may keep keys or secrets that were erased on its disk for longer"
        yield Requirement("max.compaction.lag.ms", str(topic.compacted_ms), what, most=True)
    if topic.largest:
        yield Requirement(LARGEST, str(topic.largest), "larger records are refused", True)


def config(topic: Topic, replicas: int) -> dict[str, str]:
    """Return the settings that a topic is created with."""
    return _treatment(topic) | {each.setting: each.want for each in requirements(topic, replicas)}


def _treatment(topic: Topic) -> dict[str, str]:
    """Return what happens to old records, without which a topic is not created."""
    return {CLEANUP: topic.cleanup, RETENTION: str(topic.retention_ms)}


async def ensure_topics(settings: Settings) -> list[str]:
    """Create missing topics and return their names; raise `TopicMismatch` if an existing one does not match."""
    return await asyncio.to_thread(_ensure, settings)


@again_if_lost
def _ensure(settings: Settings) -> list[str]:
    client = admin(settings)
    there = describe(client, settings)
    needed = topics_of(settings)
    for topic in needed:
        if found := there.get(settings.named(topic.name)):
            refuse_mismatch(topic, found, settings)
    _correct(client, there, settings)
    missing = {topic for topic in needed if settings.named(topic.name) not in there}
    return _create(client, missing, settings) if missing else []


def _create(client: AdminClient, missing: set[Topic], settings: Settings) -> list[str]:
    names = {settings.named(topic.name): topic for topic in missing}
    created = _request(client, {name: config(topic, settings.replication) for name, topic in names.items()}, settings)
    if forbidden := [name for name, future in created.items() if _is_forbidden(future)]:
        created |= _request(client, {name: _treatment(names[name]) for name in forbidden}, settings)
    ours = sorted(name for name, future in created.items() if _created(future))
    wait_for_topics(client, set(created))
    _correct(client, {name: found for name, found in describe(client, settings).items() if name in ours}, settings)
    return ours


def _request(client: AdminClient, configs: Mapping[str, dict[str, str]], settings: Settings) -> dict[str, Any]:
    """Ask for new topics; return a future for each."""
    new = [NewTopic(name, settings.partitions, settings.replication, config=each) for name, each in configs.items()]
    return dict(client.create_topics(new, operation_timeout=20, request_timeout=30))


def _is_forbidden(future: Any) -> bool:
    """Return whether a topic was refused because of its settings, which perhaps can be stored one by one."""
    error = future.exception(30)
    return isinstance(error, KafkaException) and error.args[0].name() in FORBIDDEN


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
    needed = {topic: found for topic in topics_of(settings) if (found := there.get(settings.named(topic.name)))}
    wrong = {found.name: {one.setting: one for one in _correctable(topic, found)} for topic, found in needed.items()}
    wanted = {name: {setting: one.want for setting, one in each.items()} for name, each in wrong.items()}
    for name, setting, error in _alter(client, wanted):
        raise TopicMismatch(
            f"topic {name} has {setting} {there[name].config[setting]}, and Kafka refuses to change it "
            f"({error.args[0].str()}): set it to {wanted[name][setting]}"
        ) from error
    _wait_until_corrected(client, settings, {name for name, corrected in wrong.items() if corrected})
    for name, corrected in wanted.items():
        for setting, want in corrected.items():
            log.warning("%s of %s was %s, and is %s now", setting, name, there[name].config[setting], want)
    for topic, found in needed.items():
        for each in (one for one in unmet(topic, found) if decided(topic, found, one)):
            have = found.config[each.setting]
            log.warning("%s of %s stays %s, as stored in it, so %s", each.setting, found.name, have, each.otherwise)
    defaults = {found.name: _defaults(topic, found) for topic, found in needed.items()}
    for name, setting, error in _alter(client, defaults):
        log.info("the broker's %s applies to %s, it cannot be stored in it: %s", setting, name, error.args[0].str())


def _correctable(topic: Topic, found: TopicDescription) -> list[Requirement]:
    return [each for each in unmet(topic, found) if not decided(topic, found, each)]


@retry(
    retry=retry_if_exception_type(TopicsNotShown), stop=stop_after_delay(SHOWN_SECONDS), wait=wait_fixed(0.05),
    reraise=True,
)  # fmt: skip
def _wait_until_corrected(client: AdminClient, settings: Settings, names: set[str]) -> None:
    """Return when the broker shows corrected settings, which may take a moment after it confirmed them."""
    there = describe(client, settings) if names else {}
    needed = {name: topic for topic in topics_of(settings) if (name := settings.named(topic.name)) in there}
    if wrong := [name for name in sorted(names) if _correctable(needed[name], there[name])]:
        raise TopicsNotShown(
            f"corrected {SHOWN_SECONDS:.0f} s ago, and the broker still shows the old settings: {', '.join(wrong)}; "
            "look at its log"
        )


def _defaults(topic: Topic, found: TopicDescription) -> dict[str, str]:
    """Return the settings of a topic that are as needed because of the broker's defaults."""
    needed = {each.setting: each for each in requirements(topic, found.replicas) if each.setting not in found.own}
    return {name: have for name, each in needed.items() if each.holds(have := found.config[name])}


def _alter(client: AdminClient, wanted: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, KafkaException]]:
    """Store settings in topics, as many as the broker accepts; yield each topic and setting that it refuses."""
    for name in _refused(client, wanted):  # all of its settings, perhaps because of one
        for setting, value in wanted[name].items():
            for error in _refused(client, {name: {setting: value}}).values():
                yield name, setting, error


def _refused(client: AdminClient, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, KafkaException]:
    """Store settings in topics; return the topics whose settings the broker refuses, each as a whole."""
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
    refused = {}
    for resource, future in (client.incremental_alter_configs(resources) if resources else {}).items():
        try:
            future.result(30)
        except KafkaException as error:
            refused[resource.name] = error
    return refused


def unmet(topic: Topic, found: TopicDescription) -> Iterator[Requirement]:
    """Yield the requirements that an existing topic does not meet."""
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
