"""`fulfillment skip`: an event that cannot be handled is gone on behind, on an operator's word, which is recorded."""

import os
import re
from typing import Annotated, Any

import typer

from ops.errors import CannotGoOn, Misconfigured, Unavailable
from ops.options import load_settings
from streams.letters import DeadLetter, skip_key
from streams.messages import CONTENT_TYPE, now
from streams.settings import Settings
from streams.topics import COMMAND_OUTCOMES, DEAD_LETTERS, INVENTORY_EVENTS, ORDER_EVENTS

INPUTS = {
    "fulfilment": (ORDER_EVENTS, INVENTORY_EVENTS),
    "projector": (ORDER_EVENTS, INVENTORY_EVENTS, COMMAND_OUTCOMES),
}
PLACE = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)/(?P<partition>[0-9]{1,9})@(?P<offset>[0-9]{1,18})")
SEND_SECONDS = 15.0


class NoSuchEvent(CannotGoOn):
    """There is nothing at that offset."""

    exit_code = os.EX_DATAERR


def skip(
    role: Annotated[str, typer.Argument(help=" or ".join(INPUTS))],
    place: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION@OFFSET", help="where the role stands")],
    reason: Annotated[str, typer.Option(help="why; recorded with the event")],
) -> None:
    """Let the process manager or a projector go on behind an event that stops it."""
    if role not in INPUTS:
        raise Misconfigured(f"ROLE is {' or '.join(INPUTS)}: orders and inventory park commands, see `letters`.")
    if not reason.strip():
        raise Misconfigured("--reason must say why.")
    if (found := PLACE.fullmatch(place)) is None:
        raise Misconfigured(f"TOPIC/PARTITION@OFFSET is such as order-events/3@17, as /readyz says it, not {place}.")
    settings = load_settings()
    name = found["topic"].removeprefix(settings.prefix)
    if name not in (topic.name for topic in INPUTS[role]):
        raise Misconfigured(f"{role} reads {', '.join(topic.name for topic in INPUTS[role])}, not {name}.")
    record = _record(settings, name, int(found["partition"]), int(found["offset"]))
    _send(settings, _letter(record, role, reason))
    typer.echo(f"recorded: {role} goes on behind {place} within seconds, if it stands there")


def _record(settings: Settings, topic: str, partition: int, offset: int) -> Any:
    from ops import records

    if not 0 <= partition < settings.partitions:
        raise NoSuchEvent(f"{topic} has partitions 0 to {settings.partitions - 1}.")
    if offset < records.ends(settings, topic)[partition]:
        with records.Log(settings, topic, {partition: offset}) as log, records.kafka(settings):
            for batch in log.upto({partition: offset + 1}):
                for record in batch:
                    if record.offset() == offset:
                        return record
    raise NoSuchEvent(f"There is no event at {topic}/{partition}@{offset}.")


def _letter(record: Any, role: str, reason: str) -> DeadLetter:
    return DeadLetter(
        kind="skipped",
        topic=record.topic(),
        partition=record.partition(),
        offset=record.offset(),
        key=record.key(),
        value=record.value(),
        headers=tuple(record.headers() or ()),
        code="SKIPPED",
        message=f"{role} goes on behind it",
        time=now(),
        reason=reason,
        role=role,
    )


def _send(settings: Settings, letter: DeadLetter) -> None:
    from confluent_kafka import Producer

    from ops import records

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
