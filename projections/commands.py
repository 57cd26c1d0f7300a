"""The `commands` read model: the outcomes of commands, kept for a week.

    id⏎source⏎aggregate⏎aggregate id                   an outcome
    id⏎source⏎aggregate⏎aggregate id⏎COMMAND_ID_REUSED   the refusal of another command with the same identity
    id                                                   an outcome written by older code, which did not say the source

(⏎ is a line feed, which no id contains), so that the outcomes of one id are neighbours.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from domain.errors import CommandIdReused
from projections.document import Document
from projections.projection import Log, Record
from streams.messages.envelope import Aggregate, CommandMessage, Outcome

KEPT = timedelta(days=7)
# Codes of rejections that no aggregate remembers: a repeat under the same id is decided again, and may be accepted.
PROVISIONAL: Document = {"$or": [{"retryable": True}, {"status": "rejected", "version": 0}]}


SEPARATOR, AFTER_SEPARATOR = "\n", "\x0b"


def document_id(command_id: str, source: str | None, aggregate: Aggregate, aggregate_id: str) -> str:
    """Return the `_id` of the outcome of a command."""
    return command_id if source is None else SEPARATOR.join((command_id, source, aggregate, aggregate_id))


def document_ids(command: CommandMessage, aggregate: Aggregate) -> tuple[str, str]:
    """Return the possible `_id`s of the outcome of `command`: today's form and that of older code."""
    return document_id(command.id, command.source, aggregate, command.key), command.id


def with_ids(command_ids: Sequence[str]) -> Document:
    """Return the query for all outcomes of some ids."""
    neighbours = [{"_id": {"$gte": each + SEPARATOR, "$lt": each + AFTER_SEPARATOR}} for each in command_ids]
    return {"$or": [{"_id": {"$in": list(command_ids)}}, *neighbours]}


def entry(outcome: Outcome, record: Record) -> Document:
    """Return the command's document. It expires a week after Kafka received it; a command's own time may be years ago.

    The first outcome stays, because the repeat of a forgotten command may be answered differently. A provisional one is
    replaced.
    """
    source = outcome.command_source
    identifier = document_id(outcome.command_id, source, outcome.aggregate, outcome.aggregate_id)
    return {
        "_id": identifier + SEPARATOR + outcome.code if outcome.code == CommandIdReused.code else identifier,
        "id": outcome.command_id,
        **({} if source is None else {"source": source}),
        "type": outcome.command_type,
        "status": outcome.status,
        "code": outcome.code,
        "message": outcome.message,
        "details": outcome.details,
        "retryable": outcome.retryable,
        "aggregate": outcome.aggregate,
        "aggregateId": outcome.aggregate_id,
        "version": outcome.version,
        "events": list(outcome.events),
        "result": outcome.result,
        "time": outcome.time,
        "correlationId": outcome.correlation_id,
        **({} if outcome.producer_time is None else {"producerTime": outcome.producer_time}),
        "_expiresAt": datetime.fromtimestamp(record.timestamp / 1000, UTC) + KEPT,
    }


LOG = Log(entry, provisional=PROVISIONAL, partial_sorts=("-time",))


def outcome_of(document: Document) -> Outcome:
    """Return the outcome from which a document was made."""
    return Outcome(
        command_id=document["id"],
        command_type=document["type"],
        aggregate=document["aggregate"],
        aggregate_id=document["aggregateId"],
        status=document["status"],
        time=document["time"],
        correlation_id=document["correlationId"],
        version=document["version"],
        events=tuple(document["events"]),
        code=document["code"],
        message=document["message"],
        details=document["details"],
        retryable=document["retryable"],
        result=document["result"],
        command_source=document.get("source"),
        producer_time=document.get("producerTime"),
    )
