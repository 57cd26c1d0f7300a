"""The lag of consumer groups, seen from outside.

A committed offset and the end of a partition are not enough, because transaction markers between them are not messages.
If the distance is short, the messages are counted. All offsets after the last stable one count: an open transaction
holds them back, and its markers are not written yet.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaError as ConfluentError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.kafka.clients import aiokafka_config, librdkafka_config
from streams.kafka.ends import Ends, ends_of
from streams.kafka.gateway import GatewayUnavailable
from streams.kafka.library_patches import AIOKafkaConsumer
from streams.kafka.open_transactions import connected
from streams.runtime.settings import Role, Settings
from streams.topology import TOPOLOGY, group_of

PATIENCE_SECONDS = 10.0
COUNTED = 500  # messages; over a longer distance, a few markers do not matter
STOP_SECONDS = 2.0
RETRY_MS = 10  # pause before a new consumer asks again for leaders, or whether only markers are left


class Place(NamedTuple):
    """A partition (with its topic's full name) that a group reads; `position` if it is not the committed offset."""

    group: str
    topic: str
    partition: int
    position: int | None = None


class Left(NamedTuple):
    """The number of messages that a group has not handled at a place, and of its members."""

    messages: int
    members: int


def places_of(settings: Settings, roles: Iterable[Role]) -> dict[Place, Role]:
    """Return every partition that the groups of `roles` read."""
    return {
        Place(group_of(role, settings), settings.named(topic.name), number): role
        for role in roles
        for topic in TOPOLOGY[role].reads
        for number in range(settings.partitions)
    }


class Groups:
    """Asks Kafka about groups; each question opens and closes connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def left(self, places: Sequence[Place]) -> dict[Place, Left]:
        """Return the places where messages are left; raise `GatewayUnavailable` if Kafka does not answer in time."""
        try:
            async with (
                asyncio.timeout(PATIENCE_SECONDS),
                self._clients() as (admin, consumer),
                connected(self._settings) as client,
            ):
                positions = await _positions(admin, places)
                ends = await ends_of(client, {(place.topic, place.partition) for place in places})
                messages = await _messages(consumer, positions, ends)
                behind = {place: count for place, count in messages.items() if count}
                members = await asyncio.to_thread(_members, self._settings, {place.group for place in behind})
        except (KafkaError, KafkaException, OSError, TimeoutError) as error:
            raise GatewayUnavailable(f"Kafka does not describe consumer groups: {error!r}") from error
        return {place: Left(count, members[place.group]) for place, count in behind.items()}

    async def committed(self, places: Sequence[Place]) -> list[Place]:
        """Return the places with the offsets that their groups have committed; raise `GatewayUnavailable`."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._clients() as (admin, _):
                found = await _positions(admin, places)
        except (KafkaError, OSError, TimeoutError) as error:
            raise GatewayUnavailable(f"Kafka does not describe consumer groups: {error!r}") from error
        return [place._replace(position=offset) for place, offset in found.items()]

    async def members(self, groups: Collection[str]) -> dict[str, int]:
        """Return how many members groups have; raise `GatewayUnavailable` if Kafka does not answer in time."""
        try:
            return await asyncio.to_thread(_members, self._settings, groups)
        except (KafkaException, TimeoutError) as error:
            raise GatewayUnavailable(f"Kafka does not describe consumer groups: {error!r}") from error

    @asynccontextmanager
    async def _clients(self) -> Any:
        client_id = self._settings.named("groups")
        admin = AIOKafkaAdminClient(**aiokafka_config(self._settings), client_id=client_id)
        consumer = AIOKafkaConsumer(
            **aiokafka_config(self._settings),
            client_id=client_id,
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_max_wait_ms=50,
            retry_backoff_ms=RETRY_MS,
        )
        try:
            await admin.start()
            await consumer.start()
            yield admin, consumer
        finally:
            for close in (consumer.stop, admin.close):
                with suppress(Exception):
                    await asyncio.wait_for(close(), STOP_SECONDS)


async def _positions(admin: AIOKafkaAdminClient, places: Iterable[Place]) -> dict[Place, int]:
    committed = {}
    for group in {place.group for place in places if place.position is None}:
        wanted = [TopicPartition(p.topic, p.partition) for p in places if p.group == group and p.position is None]
        for at, offset in (await admin.list_consumer_group_offsets(group, partitions=wanted)).items():
            committed[group, at] = max(offset.offset, 0)  # -1: nothing was committed yet
    return {
        place: committed.get((place.group, TopicPartition(place.topic, place.partition)), 0)
        if place.position is None
        else place.position
        for place in places
    }


async def _messages(
    consumer: AIOKafkaConsumer, positions: Mapping[Place, int], ends: Mapping[tuple[str, int], Ends]
) -> dict[Place, int]:
    """Return how many messages follow each position, messages of open transactions included."""
    readable = await _readable(consumer, positions, {at: end.stable for at, end in ends.items()})
    return {place: count + ends[place.topic, place.partition].held for place, count in readable.items()}


async def _readable(
    consumer: AIOKafkaConsumer, positions: Mapping[Place, int], ends: Mapping[tuple[str, int], int]
) -> dict[Place, int]:
    apart = {place: ends[place.topic, place.partition] - position for place, position in positions.items()}
    near = {place: positions[place] for place, count in apart.items() if 0 < count <= COUNTED}
    offsets = await _offsets(consumer, near, ends)
    counted = {
        place: sum(offset >= position for offset in offsets[place.topic, place.partition])
        for place, position in near.items()
    }
    return {place: counted.get(place, max(count, 0)) for place, count in apart.items()}


async def _offsets(
    consumer: AIOKafkaConsumer, near: Mapping[Place, int], ends: Mapping[tuple[str, int], int]
) -> Mapping[tuple[str, int], list[int]]:
    """Return the offsets of the messages, without transaction markers, from the first place of each partition on."""
    begins: dict[TopicPartition, int] = {}
    for place, position in near.items():
        at = TopicPartition(place.topic, place.partition)
        begins[at] = min(position, begins.get(at, position))
    found: dict[tuple[str, int], list[int]] = {at: [] for at in begins}
    consumer.assign(list(begins))
    for at, position in begins.items():
        consumer.seek(at, position)
    left = set(begins)
    while left:
        for at, records in (await consumer.getmany(*left, timeout_ms=RETRY_MS)).items():
            found[at] += [record.offset for record in records if record.offset < ends[at]]
        left = {at for at in left if await consumer.position(at) < ends[at]}
    return found


def _members(settings: Settings, groups: Collection[str]) -> dict[str, int]:
    """Return how many members groups have, with librdkafka, because aiokafka cannot read every answer."""
    if not groups:
        return {}
    client = AdminClient(librdkafka_config(settings))
    described = client.describe_consumer_groups(sorted(groups), request_timeout=PATIENCE_SECONDS)
    members = dict.fromkeys(groups, 0)
    for group, future in described.items():
        try:
            members[group] = len(future.result(PATIENCE_SECONDS).members)
        except KafkaException as error:
            if error.args[0].code() != ConfluentError.GROUP_ID_NOT_FOUND:  # it never was, or expired
                raise
    return members
