"""Letters: a record becomes a letter, and each change of a letter is written to the topic `dead-letters`."""

import logging
import traceback

from aiokafka import ConsumerRecord
from msgspec.structs import replace

from parking.effects import Effects
from parking.letter import DeadLetter, LetterKind
from parking.queue import PARKED, Changes, Letter, Letters, aggregates
from streams.kafka.received import received_at
from streams.kafka.transactions import ANY_PARTITION, Write
from streams.messages.envelope import CONTENT_TYPE, Aggregate, CommandMessage, instant_of
from streams.runtime.settings import Settings
from streams.topics import DEAD_LETTERS

log = logging.getLogger(__name__)

FAILED = "PROCESSING_FAILED"  # the code of a letter
MESSAGE, TRACEBACK = 1_000, 20_000  # characters that are kept: an error may quote all of a command
REMIND_SECONDS = 10 * 86_400.0  # a third of the retention of `dead-letters`
REMINDED = 500  # letters that one transaction repeats, and the rest of the last aggregate
AT_ONCE_BYTES = 32 << 20  # limit of the letters that one transaction repeats or retries, each written whole


class DeadLetters:
    """Writes to `dead-letters`, for one kind of aggregate."""

    def __init__(self, settings: Settings, aggregate: Aggregate) -> None:
        self.aggregate, self.topic = aggregate, settings.named(DEAD_LETTERS.name)

    def tell(
        self,
        kind: LetterKind,
        letter: Letter,
        aggregate_id: str | None,
        time: str | None = None,
        reason: str | None = None,
        principal: str | None = None,
    ) -> Effects:
        """Return the dead letter that says what happens to a letter, at `time` or when its message arrived."""
        dead = DeadLetter(
            kind=kind,
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            key=letter.key,
            value=letter.value,
            headers=letter.headers,
            code=letter.code,
            message=letter.message,
            time=time or instant_of(letter.timestamp),
            traceback=letter.traceback,
            aggregate=self.aggregate,
            aggregate_id=aggregate_id,
            command_id=letter.command_id,
            command_type=letter.command_type,
            attempts=letter.attempts,
            reason=reason,
            principal=principal,
        )
        key = letter.key if letter.key or aggregate_id is None else aggregate_id.encode()
        write = Write(self.topic, ANY_PARTITION, key, dead.encode(), CONTENT_TYPE)
        return Effects(writes=[write], letters=((letter.topic, kind),))

    def remind(self, changes: Changes, now: float) -> list[Write]:
        """Return dead letters again whose records the topic would soon delete; some of them in each transaction."""
        count = changes.get(PARKED)
        if count is None or not _long_ago(count.said, now):
            return []
        writes: list[Write] = []
        size = 0
        for aggregate_id in aggregates(changes):
            letters = Letters(changes, aggregate_id)
            if (queue := letters.queue) is None or not _long_ago(queue.said, now):
                continue
            if len(writes) >= REMINDED or size >= AT_ONCE_BYTES:
                return writes
            for letter in letters:
                writes += self.tell("parked", letter, aggregate_id).writes
                size += letter.size
            letters.said(now)
        changes.put(PARKED, replace(count, said=now))
        return writes


def _long_ago(said: float, now: float) -> bool:
    """Return whether the topic may soon delete what was written at `said`; a clock may have been set either way."""
    return abs(now - said) > REMIND_SECONDS


def letter_of(
    record: ConsumerRecord, command_id: str, command_type: str | None, code: str = "", message: str = ""
) -> Letter:
    """Return a record as a letter."""
    return Letter(
        command_id,
        command_type,
        record.topic,
        record.partition,
        record.offset,
        received_at(record),
        record.key,
        record.value,
        tuple(record.headers),
        code,
        message,
    )


def letter_with(record: ConsumerRecord, command: CommandMessage) -> Letter:
    """Return a record as a letter with the source and the digest of the command in it."""
    letter = letter_of(record, command.id, command.type)
    return replace(letter, source=command.source, digest=command.digest())


def without_value(letter: Letter) -> Letter:
    """Return `letter` without its message: only the place of the message is left."""
    place = f"{letter.topic}/{letter.partition}@{letter.offset}"
    message = f"{letter.message[:MESSAGE]}; the message of {len(letter.value or b'')} bytes is only at {place}"
    return replace(letter, key=None, value=None, headers=(), message=message)


def failed(letter: Letter, bug: Exception) -> Letter:
    """Return `letter` after another attempt that failed."""
    log.error("%s %s failed", letter.command_type, letter.command_id, exc_info=bug)
    return replace(
        letter,
        code=FAILED,
        message=f"{type(bug).__name__}: {bug}"[:MESSAGE],
        attempts=letter.attempts + 1,
        traceback="".join(traceback.format_exception(bug))[-TRACEBACK:],
    )
