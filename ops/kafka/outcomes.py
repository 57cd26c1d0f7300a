"""Command outcomes, read from their topic."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from ops.errors import CommandFailed
from ops.kafka import records
from streams.kafka.partitions import partition_of
from streams.messages.envelope import Outcome
from streams.runtime.settings import Settings
from streams.topics import COMMAND_OUTCOMES

TOPIC = COMMAND_OUTCOMES.name


class NoOutcome(CommandFailed):
    """A command has no outcome, or not yet."""

    exit_code = os.EX_TEMPFAIL


def outcomes(settings: Settings, command_id: str | None, last: int, follow: bool) -> Iterator[Outcome]:
    """Yield the `last` outcomes, or those of one command; with `follow`, continue with new ones without end."""
    span = records.watermarks(settings, TOPIC)
    ends = records.ends_of(span)
    if command_id is None:
        yield from _newest(settings, span, last)
    else:
        yield from (found := of_command(settings, ends, command_id))
        if not found and not follow:
            raise NoOutcome(
                f"Command {command_id} has no outcome: it is not decided yet, or its outcome has expired after a week."
            )
    if follow:
        for batch in records.follow(settings, {TOPIC: ends}):
            yield from (each for each in decoded(batch) if command_id in (None, each.command_id))


def _newest(settings: Settings, span: records.Span, count: int) -> list[Outcome]:
    """Return the `count` newest outcomes, oldest first."""
    found = records.newest(settings, {TOPIC: span}, count, lambda batch: batch)
    found.sort(key=lambda record: record.timestamp)
    return list(decoded(found[-count:] if count else []))


def of_command(settings: Settings, ends: records.Offsets, command_id: str) -> list[Outcome]:
    """Return the outcomes of one command: one for each time it was sent; all are on one partition."""
    key = command_id.encode()
    number = partition_of(key, settings.partitions)
    starts = {number: records.begins(settings, TOPIC)[number]}
    batches = records.read(settings, TOPIC, starts, {number: ends[number]})
    return list(decoded(record for batch in batches for record in batch if record.key == key))


def decoded(batch: Iterable[Any]) -> Iterator[Outcome]:
    """Yield the outcomes in records of the topic; other messages are left out."""
    for record in batch:
        with suppress(ValueError, KeyError, TypeError):
            yield _checked(Outcome.decode(record.value))


def _checked(outcome: Outcome) -> Outcome:
    """Return an outcome that can be displayed; `TypeError` if its fields have other types."""
    texts = (outcome.command_id, outcome.command_type, outcome.aggregate_id, outcome.time)
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(each, dict) for each in outcome.events):
        raise TypeError("not an outcome of this service")
    return outcome
