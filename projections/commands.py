"""The `commands` read model: what became of a command, kept for a week."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from projections.document import Document
from streams.messages import Outcome

KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An outcome, and when Kafka got it (Unix seconds): a command's own time may be years ago."""

    outcome: Outcome
    at: float


def entry(recorded: Recorded) -> Document:
    """Return the command's document. The first outcome stays: a repeat that was forgotten may be answered otherwise."""
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
