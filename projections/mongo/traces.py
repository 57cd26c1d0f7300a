"""Spans for MongoDB commands, below the request or batch that caused them; other commands are not recorded."""

import time
from typing import Any

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from streams.tracing.spans import SCOPE, Scope, Span, new_span

SENT = ("documents", "updates", "deletes")  # fields of a command that contain its writes


class Listener(CommandListener):
    """Adds one span per command to the current scope, without the command's contents, which include addresses."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[Scope, str, int]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """Remember a command's subject, if it is part of a trace."""
        if (around := SCOPE.get()) is not None:
            command: Any = event.command
            collection = str(command.get("collection" if event.command_name == "getMore" else event.command_name))
            count = sum(len(command.get(name, ())) for name in SENT)
            self._open[event.request_id] = (around, collection, count)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Record a command that was answered."""
        self._end(event, None)

    def failed(self, event: CommandFailedEvent) -> None:
        """Record a command that failed."""
        self._end(event, str(event.failure.get("codeName", "failed")))

    def _end(self, event: CommandSucceededEvent | CommandFailedEvent, error: str | None) -> None:
        if (opened := self._open.pop(event.request_id, None)) is None:
            return
        around, collection, count = opened
        ended = time.time_ns()
        span = Span(f"{event.command_name} {collection}", "client", 0, new_span(), error=error)
        span.began, span.ended = ended - event.duration_micros * 1_000, ended
        span.attributes = {
            "db.system.name": "mongodb",
            "db.namespace": event.database_name,
            "db.collection.name": collection,
            "db.operation.name": event.command_name,
            **({"db.operation.batch.size": count} if count else {}),
        }
        around.add(span)
