"""Send commands to Kafka as any producer does, checked as the aggregates check them, and wait for their outcomes.

BadCommands                    messages that are not valid commands; nothing was sent
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import KafkaError, KafkaException, Producer

from domain.message import MAX_ID
from ops.errors import CommandFailed, Misconfigured, Unavailable
from ops.kafka import outcomes, records
from streams.kafka.clients import librdkafka_config
from streams.kafka.diagnosis import diagnosis, missing_right
from streams.messages.codec import BadMessage, RecordAt, decode_command, names_order
from streams.messages.envelope import CONTENT_TYPE, CommandMessage, Outcome, derived_id, new_id, now
from streams.runtime.settings import Settings
from streams.topics import ORDER_COMMANDS
from streams.topology import AGGREGATES
from streams.wording import counted

SOURCE = "cli"
SEND_SECONDS = 15.0
TYPES = {each.commands.name: (each.types, each.id_field) for each in AGGREGATES.values()}  # by topic


class BadCommands(CommandFailed):
    """Messages that are not valid commands; nothing was sent."""

    exit_code = os.EX_DATAERR


@dataclass(frozen=True)
class Parcel:
    """A message ready to be sent; `refused`: why the aggregates would reject it."""

    topic: str
    key: bytes | None
    value: bytes
    id: str | None  # None: derived from its position on the topic
    refused: BadMessage | None = None
    message: CommandMessage | None = None  # None: it cannot be decoded, or was not checked
    partition: int = -1  # -1: that of its key

    def answered_by(self, outcome: Outcome) -> bool:
        """Return whether `outcome`, which has its id, answers this command; several commands may share an id."""
        return self.message is None or outcome.answers(self.message)


def envelope(name: str, data: str) -> bytes:
    """Return the envelope of a command; `data` that is not JSON is passed on as text, and refused later."""
    try:
        parsed: Any = orjson.loads(data)
    except orjson.JSONDecodeError:
        parsed = data
    return orjson.dumps({"type": name, "data": parsed})


def parcel(line: bytes, key: str | None, topic: str | None) -> Parcel:
    """Return the message in an envelope, with missing optional fields filled in as the API does."""
    try:
        given = orjson.loads(line)
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        refused = BadMessage("INVALID_MESSAGE", "a command is a JSON object with type and data")
        return Parcel(_topic(topic), key.encode() if key else None, line, None, refused)
    name = str(given.get("type"))[:MAX_ID]
    goes_to = next((topic for topic, (types, _) in TYPES.items() if name in types), None)
    identifier = new_id() if given.get("id") is None else given["id"]
    filled = {"time": now(), "source": SOURCE}
    if name == "PlaceOrder" and not key and not names_order(given):
        filled["subject"] = new_id()
    value = orjson.dumps({**filled, **given, "id": identifier})
    return _checked(value, key, name, goes_to, topic, identifier)


def _checked(
    value: bytes, key: str | None, name: str, goes_to: str | None, topic: str | None, identifier: Any
) -> Parcel:
    raw = key.encode() if key else None
    known_id = identifier if isinstance(identifier, str) else None
    try:
        if goes_to is None:
            known = ", ".join(name for types, _ in TYPES.values() for name in types)
            raise BadMessage("UNKNOWN_TYPE", f"unknown command type {name!r}: known are {known}")
        message = decode_command(value, RecordAt(SOURCE, 0, 0, time.time(), raw), *TYPES[goes_to])
    except BadMessage as refused:
        return Parcel(_topic(topic or goes_to), raw, value, known_id, refused)
    return Parcel(goes_to, message.key.encode(), message.encode(), message.id, message=message)


def _topic(name: str | None) -> str:
    if name is not None and name not in TYPES:
        raise Misconfigured(f"There is no command topic {name!r}: set --topic to {' or '.join(TYPES)}.")
    return name or ORDER_COMMANDS.name


def send(settings: Settings, parcels: Sequence[Parcel]) -> list[str]:
    """Return the ids of the commands once all are durable; Unavailable if Kafka does not accept them."""
    producer = Producer(
        librdkafka_config(settings)
        | {
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "delivery.timeout.ms": int(SEND_SECONDS * 1000),
            "message.max.bytes": 64 << 20,  # the broker enforces the limit of the topic
        }
    )
    ids, errors = [each.id for each in parcels], list[Any]()

    def delivered(number: int, error: Any, record: Any) -> None:
        if error is not None:
            errors.append((error, record.topic()))
        elif ids[number] is None:
            ids[number] = derived_id(record.topic(), record.partition(), record.offset())

    with records.kafka(settings):
        for number, each in enumerate(parcels):
            topic = settings.named(each.topic)
            try:
                _produce(producer, topic, each, lambda e, r, number=number: delivered(number, e, r))
            except KafkaException as refused:  # the producer has failed for good
                errors.append((refused.args[0], topic))
                break
        left = producer.flush(SEND_SECONDS + 1)
    if errors or left:
        raise Unavailable(
            f"Kafka at {settings.kafka} did not accept {len(errors) + left} of {counted(len(parcels), 'message')}: "
            f"{_why(settings, errors)}. Send them again; commands with the same id are handled once."
        )
    return [str(each) for each in ids]


def _why(settings: Settings, errors: Sequence[Any]) -> str:
    if not errors:
        return str(diagnosis(settings) or "it does not answer")
    error, topic = errors[0]
    if error.code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:  # the answer to a user that may write no topic at all
        error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    return str(missing_right(error, topic) or error.str())


def _produce(producer: Producer, topic: str, each: Parcel, delivered: Any) -> None:
    while True:
        try:
            producer.produce(topic, each.value, each.key, each.partition, headers=CONTENT_TYPE, on_delivery=delivered)
            producer.poll(0)
            return
        except BufferError:
            producer.poll(0.1)  # librdkafka's queue is full


def wait_for(
    settings: Settings, parcels: Sequence[Parcel], ids: Sequence[str], since: records.Offsets, seconds: float
) -> list[Outcome | None]:
    """Return the outcome of each parcel, which was sent under the id in `ids`; None if it does not arrive in time.

    `since`: the ends of the topic before the parcels were sent.
    """
    found: list[Outcome | None] = [None] * len(parcels)
    missing, wanted, until = dict(enumerate(parcels)), set(ids), time.monotonic() + seconds
    with records.Log(settings, outcomes.TOPIC, since) as log, records.kafka(settings):
        while missing and time.monotonic() < until:
            came = [record for record in log.batch() if (record.key or b"").decode(errors="replace") in wanted]
            for outcome in outcomes.decoded(came):
                mine = (n for n, each in missing.items() if ids[n] == outcome.command_id and each.answered_by(outcome))
                if (number := next(mine, None)) is not None:
                    found[number] = outcome
                    del missing[number]
    return found


def refuse_bad(parcels: Sequence[Parcel], *, numbered: bool, force: bool) -> str:
    """Return one line per bad command, with its number if `numbered`; `BadCommands` if any, unless `force`."""
    bad = [(number, each.refused) for number, each in enumerate(parcels, 1) if each.refused]
    complaints = "\n".join(f"{f'line {n}: ' if numbered else ''}{error.code}: {error.message}" for n, error in bad)
    if bad and not force:
        raise BadCommands(f"{complaints}\nNothing was sent. Correct the commands, or send them anyway with --force.")
    return complaints


def exit_code(found: Sequence[Outcome | None]) -> int:
    """Return 0 if all were accepted, 1 if any was rejected, and EX_TEMPFAIL if outcomes are missing."""
    if any(outcome is not None and outcome.status == "rejected" for outcome in found):
        return 1
    return 0 if all(found) else os.EX_TEMPFAIL
