"""The `commands` read model: what became of a command, kept for a week."""

from datetime import UTC, datetime, timedelta

from domain.frozen import frozen
from projections.document import Document
from streams.messages import Outcome

KEPT = timedelta(days=7)
PROVISIONAL: Document = {"retryable": True}  # no answer yet: who asks again under the same id may get another


@frozen
class Recorded:
    """An outcome, and when Kafka got it (Unix seconds): a command's own time may be years ago."""

    outcome: Outcome
    at: float


def entry(recorded: Recorded) -> Document:
    """Return the command's document.

    The first outcome stays, for a repeat that was forgotten may be answered otherwise; a retryable one does not.
    """
    outcome = recorded.outcome
    return {
        "_id": outcome.command_id,
        "id": outcome.command_id,
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
        "_expiresAt": datetime.fromtimestamp(recorded.at, UTC) + KEPT,
    }


def outcome_of(document: Document) -> Outcome:
    """Return the outcome a document was made of."""
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
    )
