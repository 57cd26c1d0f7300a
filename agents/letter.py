"""One letter: a record that could not be handled, and what another attempt makes of it."""

import logging
import traceback
from dataclasses import replace

from aiokafka import ConsumerRecord

from parking.entries import Letter
from streams.kafka.received import received_at
from streams.messages.envelope import CommandMessage

log = logging.getLogger(__name__)

MESSAGE, TRACEBACK = 1_000, 20_000  # characters that are kept: an error may quote all of a command
FAILED, BEHIND = "PROCESSING_FAILED", "PARKED_BEHIND"


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


def without_value(letter: Letter) -> Letter:
    """Return `letter` with nothing of the message but where it is."""
    place = f"{letter.topic}/{letter.partition}@{letter.offset}"
    message = f"{letter.message[:MESSAGE]}; the message of {len(letter.value or b'')} bytes is only at {place}"
    return replace(letter, key=None, value=None, headers=(), message=message)


def letter_with(record: ConsumerRecord, command: CommandMessage, code: str = "", message: str = "") -> Letter:
    """Return a record as a letter with the identity and the content of the command in it."""
    letter = letter_of(record, command.id, command.type, code, message)
    return replace(letter, source=command.source, digest=command.digest())


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
