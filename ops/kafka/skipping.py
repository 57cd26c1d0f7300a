"""Skip a record that blocks a partition: the request is recorded on `dead-letters`, where the blocked role reads it.

NoSuchRecord                   there is no record at the offset
"""

import os
import re
import time
from typing import Any

from confluent_kafka import Producer

from ops.errors import CommandFailed, Misconfigured, Unavailable
from ops.kafka import records
from ops.operators import principal
from parking.letter import DeadLetter, skip_key
from streams.kafka.clients import librdkafka_config
from streams.kafka.unreadable import Unreadable, whole
from streams.messages.envelope import CONTENT_TYPE, now
from streams.runtime.settings import FORMER_ROLE, Settings
from streams.topics import DEAD_LETTERS, Topic
from streams.topology import AGGREGATES, READING, TOPOLOGY

INPUTS: dict[str, tuple[Topic, ...]] = {role: TOPOLOGY[role].reads for role in READING}
INPUTS[FORMER_ROLE] = tuple(each.events for each in AGGREGATES.values())  # it may have left events; /readyz lists them
PLACE = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)/(?P<partition>[0-9]{1,9})@(?P<offset>[0-9]{1,18})")
SEND_SECONDS = READ_SECONDS = 15.0


class NoSuchRecord(CommandFailed):
    """There is no record at the offset."""

    exit_code = os.EX_DATAERR


def skip(settings: Settings, role: str, place: str, reason: str) -> str:
    """Record that `role` skips the record at `place`; return which offsets, as text."""
    if role not in INPUTS:
        raise Misconfigured(f"There is no role {role!r} that reads topics: choose from {', '.join(READING)}.")
    if not reason.strip():
        raise Misconfigured("--reason is empty: give the reason why the record is skipped.")
    if (found := PLACE.fullmatch(place)) is None:
        raise Misconfigured(
            f"{place!r} is not TOPIC/PARTITION@OFFSET: write it as in order-events/3@17; /readyz shows where the role "
            "is blocked."
        )
    name = found["topic"].removeprefix(settings.prefix)
    if name not in (read := [topic.name for topic in INPUTS[role]]):
        raise Misconfigured(f"{role} does not read {name}: choose from {', '.join(read)}.")
    record = _record(settings, name, int(found["partition"]), int(found["offset"]))
    _send(settings, _letter(record, role, reason))
    span = record.span if isinstance(record, Unreadable) else f"offset {record.offset}"
    return f"{span} of {record.topic}/{record.partition}"


def _record(settings: Settings, topic: str, partition: int, offset: int) -> Any:
    if not 0 <= partition < settings.partitions:
        raise NoSuchRecord(f"There is no partition {partition}: {topic} has partitions 0 to {settings.partitions - 1}.")
    if offset < records.ends(settings, topic)[partition]:
        with records.Log(settings, topic, {partition: offset}) as log:
            if (record := _next(log, partition, offset)) is not None:
                return record
    raise NoSuchRecord(
        f"There is no event or command at {topic}/{partition}@{offset}: copy the offset from the role's /readyz."
    )


def _next(log: records.Log, partition: int, offset: int) -> Any | None:
    """Return the record at an offset, or the batch that contains it if the batch cannot be read."""
    until = time.monotonic() + READ_SECONDS
    while log.positions[partition] <= offset:
        for record in log.batch():
            if isinstance(record, Unreadable):
                return whole(record) if record.first <= offset else None
            return record if record.offset == offset else None
        if time.monotonic() > until:
            raise Unavailable(
                f"{log.topic}/{partition} cannot be read at offset {offset}. Check for an open transaction with "
                "`fulfillment transactions list`."
            )
    return None


def _letter(record: Any, role: str, reason: str) -> DeadLetter:
    return DeadLetter(
        kind="skipped",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        code="SKIPPED",
        message=f"{role} skips it" if not isinstance(record, Unreadable) else f"{role} skips it: {record}",
        time=now(),
        reason=reason,
        role=role,
        principal=principal(),
    )


def _send(settings: Settings, letter: DeadLetter) -> None:
    errors: list[Any] = []
    producer = Producer(
        librdkafka_config(settings)
        | {"enable.idempotence": True, "partitioner": "murmur2_random", "message.max.bytes": 32 << 20}
    )
    key = skip_key(letter.role or "", letter.topic, letter.partition, letter.offset)
    with records.kafka(settings):
        producer.produce(
            settings.named(DEAD_LETTERS.name),
            letter.encode(),
            key,
            headers=CONTENT_TYPE,
            on_delivery=lambda error, _: errors.append(error),
        )
        producer.flush(SEND_SECONDS)
    if errors != [None]:
        why = errors[0].str() if errors else "it does not answer"
        raise Unavailable(f"Kafka at {settings.kafka} did not accept the request ({why}): run the command again.")
