"""Problems of the topics on the broker, in sentences for `doctor`, `status` and `topics`."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from ops.kafka.elections import is_electing
from streams.runtime.settings import Settings
from streams.topic_setup import SAFE_REPLICAS, Requirement, TopicMismatch, decided, refuse_mismatch, unmet
from streams.topics import ASK_SECONDS, TOPICS, TopicDescription, admin, describe, topics_of

CREATE = "run `fulfillment topics create`, which corrects it"
DECIDED = "it is stored in the topic, so it is not corrected; unless you want that, set it with kafka-configs.sh to"


class Problem(NamedTuple):
    """A problem and its remedy, both without a full stop; `refused`: nothing works with that topic."""

    found: str
    remedy: str
    refused: bool = False


async def problems(settings: Settings) -> list[Problem]:
    """Return the problems of the topics that exist."""
    return await asyncio.to_thread(lambda: list(_problems(admin(settings), settings)))


def _problems(client: AdminClient, settings: Settings) -> Iterator[Problem]:
    there = describe(client, settings)
    differing: defaultdict[tuple[Requirement, str, str], list[str]] = defaultdict(list)
    for topic in topics_of(settings):
        if found := there.get(settings.named(topic.name)):
            try:
                refuse_mismatch(topic, found, settings)
            except TopicMismatch as error:
                sentence, _, remedy = str(error).partition(": ")
                yield Problem(sentence, remedy, refused=True)
            for each in unmet(topic, found):
                remedy = f"{DECIDED} {each.want}" if decided(topic, found, each) else CREATE
                differing[each, found.config[each.setting], remedy].append(found.name)
    for (each, have, remedy), names in differing.items():
        yield Problem(f"{each.setting} is {have}, so {each.otherwise}: {', '.join(names)}", remedy)
    yield from _few_replicas(client, there, settings)
    yield from _deleted(client, there, settings)


def _few_replicas(client: AdminClient, there: Mapping[str, TopicDescription], settings: Settings) -> Iterator[Problem]:
    """Report topics of which the cluster could have more replicas, which an operator has to add."""
    brokers = len(client.list_topics(next(iter(there), None), ASK_SECONDS).brokers)
    wanted = max(settings.replication, min(brokers, SAFE_REPLICAS))
    if few := [name for name, found in there.items() if found.replicas < wanted]:
        have = min(there[name].replicas for name in few)
        yield Problem(
            f"there are {have} replicas where {wanted} are possible ({brokers} brokers), so a broker that is lost may "
            f"take records with it: {', '.join(few)}",
            f"set FULFILLMENT_REPLICATION={wanted}, and add replicas with kafka-reassign-partitions.sh",
        )


def _deleted(client: AdminClient, there: Mapping[str, TopicDescription], settings: Settings) -> Iterator[Problem]:
    """Report topics that are kept forever, and have lost their first records."""
    kept = [settings.named(topic.name) for topic in TOPICS if topic.cleanup == "delete" and topic.retention_ms < 0]
    places = [TopicPartition(name, n) for name in kept if name in there for n in range(there[name].partitions)]
    starts = _starts(client, places)
    if late := [f"{place.topic}/{place.partition}@{at}" for place, at in sorted(starts.items()) if at > 0]:
        yield Problem(
            f"events were deleted, these partitions begin after offset 0: {', '.join(late)}",
            "restore the topic from a backup; tables and read models that are rebuilt from it lack those events",
        )


@retry(retry=retry_if_exception(is_electing), stop=stop_after_delay(ASK_SECONDS), wait=wait_fixed(0.05), reraise=True)
def _starts(client: AdminClient, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the first offset of each partition."""
    asked = client.list_offsets({place: OffsetSpec.earliest() for place in places}, request_timeout=ASK_SECONDS)
    return {place: future.result(ASK_SECONDS).offset for place, future in asked.items()}
