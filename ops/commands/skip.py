"""`fulfillment skip`: a record that blocks a partition is skipped, on an operator's word, which is recorded."""

import os
import re
import time
from typing import Annotated, Any

import typer

from ops.commands.options import load_settings
from ops.errors import CommandFailed, Misconfigured, Unavailable
from parking.letter import DeadLetter, skip_key
from streams.kafka.unreadable import Unreadable, whole
from streams.messages.envelope import CONTENT_TYPE, now
from streams.runtime.settings import FORMER_ROLE, Settings
from streams.topics import DEAD_LETTERS, Topic
from streams.topology import AGGREGATES, READING, TOPOLOGY

INPUTS: dict[str, tuple[Topic, ...]] = {role: TOPOLOGY[role].reads for role in READING}
INPUTS[FORMER_ROLE] = tuple(each.events for each in AGGREGATES.values())  # it may have left events behind, see /readyz
PLACE = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)/(?P<partition>[0-9]{1,9})@(?P<offset>[0-9]{1,18})")
SEND_SECONDS = READ_SECONDS = 15.0


class NoSuchRecord(CommandFailed):
    """There is nothing at that offset."""

    exit_code = os.EX_DATAERR


def skip(
    role: Annotated[str, typer.Argument(help=" or ".join(READING))],
    place: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION@OFFSET", help="where the role is blocked")],
    reason: Annotated[str, typer.Option(help="why; recorded with the record")],
) -> None:
    """Skip the record that blocks a partition, or the batch that no role can read."""
    if role not in INPUTS:
        raise Misconfigured(f"ROLE is {', '.join(READING)}, not {role}.")
    if not reason.strip():
        raise Misconfigured("--reason must say why.")
    if (found := PLACE.fullmatch(place)) is None:
        raise Misconfigured(f"TOPIC/PARTITION@OFFSET is such as order-events/3@17, as /readyz says it, not {place}.")
    settings = load_settings()
    name = found["topic"].removeprefix(settings.prefix)
    if name not in (read := [topic.name for topic in INPUTS[role]]):
        raise Misconfigured(f"{role} reads {', '.join(read)}, not {name}.")
    record = _record(settings, name, int(found["partition"]), int(found["offset"]))
    _send(settings, _letter(record, role, reason))
    span = record.span if isinstance(record, Unreadable) else f"offset {record.offset}"
    at = f"{record.topic}/{record.partition}"
    typer.echo(f"recorded: {role} skips {span} of {at} within seconds, if it is blocked there")


def _record(settings: Settings, topic: str, partition: int, offset: int) -> Any:
    from ops.kafka import records

    if not 0 <= partition < settings.partitions:
        raise NoSuchRecord(f"{topic} has partitions 0 to {settings.partitions - 1}.")
    if offset < records.ends(settings, topic)[partition]:
        with records.Log(settings, topic, {partition: offset}) as log:
            if (record := _next(log, partition, offset)) is not None:
                return record
    raise NoSuchRecord(f"There is no event or command at {topic}/{partition}@{offset}.")


def _next(log: Any, partition: int, offset: int) -> Any | None:
    """Return the record at an offset, or the batch it is in when that cannot be read."""
    until = time.monotonic() + READ_SECONDS
    while log.positions[partition] <= offset:
        for record in log.batch():
            if isinstance(record, Unreadable):
                return whole(record) if record.first <= offset else None
            return record if record.offset == offset else None
        if time.monotonic() > until:
            raise Unavailable(f"{log.topic}/{partition} cannot be read at {offset}: a transaction may be open there.")
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
    )


def _send(settings: Settings, letter: DeadLetter) -> None:
    from confluent_kafka import Producer

    from ops.kafka import records

    errors: list[Any] = []
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "message.max.bytes": 32 << 20,
            "log_level": 0,
        }
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
        raise Unavailable(f"Kafka at {settings.kafka} did not take the record: {errors or 'it does not answer'}.")
