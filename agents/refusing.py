"""Commands that are not decided: they cannot be read, are invalid, or Kafka refuses their results."""

from collections.abc import Container
from enum import IntEnum
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord

from parking.effects import Effects, together
from parking.handling import Parking
from parking.letter import LETTER_COMMANDS
from parking.telling import FAILED, failed, letter_of, letter_with, without_value
from privacy.forgetting import FORGETTING
from streams.kafka.partitions import partition_of
from streams.kafka.received import Coordinates, coordinates
from streams.kafka.transactions import TOO_LARGE, RefusedByKafka, Write
from streams.kafka.unreadable import CannotRead, Unreadable
from streams.messages.codec import BadMessage, RecordAt
from streams.messages.envelope import CommandMessage
from tables.store import Changes

from .replying import Replying, given_id, given_type

MESSAGE_TOO_LARGE, REFUSED_BY_KAFKA = "MESSAGE_TOO_LARGE", "REFUSED_BY_KAFKA"  # codes
UNREAD = "unread"  # the type of a command that could not be read
FORWARDED = "forwarded"  # an outcome, as it is counted


class Resort(IntEnum):
    """How a record is handled that Kafka refused alone; the next way is used if it refuses again."""

    SINGLY = 1  # as usual, but each message in a batch of its own, and with nothing beside it
    ASIDE = 2  # its command is parked
    REJECTED = 3  # its command is rejected; the dead letter says where it is instead of quoting it


class Refusal(NamedTuple):
    """How a record is to be handled, and why Kafka refused it."""

    resort: Resort
    why: RefusedByKafka


class Refusing:
    """Refuses, parks or skips such commands, for one kind of aggregate."""

    def __init__(
        self,
        partitions: int,
        parking: Parking,
        replying: Replying,
        types: Container[str],
        skipped: Container[Coordinates],
    ) -> None:
        self.partitions, self.parking, self.replying = partitions, parking, replying
        self.types, self.skipped = types, skipped

    def pass_unreadable(self, record: Unreadable) -> Effects:
        """Stop at an unreadable batch, unless an operator skips it: the number of commands in it is unknown."""
        return Effects() if coordinates(record) in self.skipped else Effects(stop=CannotRead(str(record)))

    def set_aside(
        self,
        record: ConsumerRecord,
        at: RecordAt,
        command: CommandMessage,
        changes: Changes[Any],
        refusal: Refusal,
        *,
        elsewhere: bool,
    ) -> tuple[str, Effects]:
        """Handle a command although Kafka refuses its results."""
        if command.type in LETTER_COMMANDS:
            refused = refusal.why if refusal.resort is Resort.REJECTED else None
            return command.type, self.parking.retrying.obey(
                command, record.partition, changes, singly=True, refused=refused
            )
        if not elsewhere and refusal.resort is Resort.ASIDE and command.type not in FORGETTING:
            letter = failed(letter_with(record, command), refusal.why)
            return command.type, self.parking.park(letter, command.key, changes)
        code = MESSAGE_TOO_LARGE if refusal.why.code in TOO_LARGE else REFUSED_BY_KAFKA
        envelope = {"id": command.id, "type": command.type, "source": command.source}
        envelope["correlationid"] = command.correlation_id
        bad = BadMessage(code, f"Kafka refuses the results of this command: {refusal.why}", envelope)
        return self.refuse(record, at, bad, refusal)

    def park_unread(
        self, record: ConsumerRecord, at: RecordAt, bug: Exception, changes: Changes[Any]
    ) -> tuple[str, Effects]:
        """Park a record that cannot be read because of a bug, under its key; the command's id is unknown."""
        try:
            aggregate_id = (record.key or b"").decode()
        except UnicodeDecodeError:
            aggregate_id = ""
        if not aggregate_id:
            return self.refuse(record, at, BadMessage(FAILED, f"{type(bug).__name__}: {bug}"))
        if (target := partition_of(aggregate_id.encode(), self.partitions)) != record.partition:
            write = Write(record.topic, target, record.key, record.value, list(record.headers))
            return UNREAD, Effects(FORWARDED, [write])
        letter = failed(letter_of(record, given_id({}, at), UNREAD), bug)
        return UNREAD, self.parking.park(letter, aggregate_id, changes)

    def refuse(
        self, record: ConsumerRecord, at: RecordAt, bad: BadMessage, refusal: Refusal | None = None
    ) -> tuple[str, Effects]:
        """Refuse an invalid command; as briefly as possible if Kafka refused more."""
        command_id, command_type = given_id(bad.envelope, at), given_type(bad.envelope)
        letter = letter_of(record, command_id, command_type, bad.code, bad.message)
        if refusal is not None and refusal.resort is not Resort.SINGLY:
            bad = BadMessage(bad.code, bad.message, bad.envelope)
            letter = without_value(letter)
        refused = Effects(writes=[self.replying.refusal(at, bad)])
        effects = together(refused, self.parking.dead_letters.tell("invalid", letter, None), outcome=bad.code)
        return command_type if command_type is not None and command_type in self.types else UNREAD, effects
