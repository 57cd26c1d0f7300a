"""`fulfillment outcomes`: what became of commands, as the aggregates said it."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Annotated, Any

import orjson
import typer

from ops.commands.options import Json, load_settings
from ops.errors import CommandFailed
from streams.messages.envelope import Outcome
from streams.runtime.settings import Settings
from streams.topics import COMMAND_OUTCOMES

TOPIC = COMMAND_OUTCOMES.name


class NoOutcome(CommandFailed):
    """There is no such outcome, or not yet."""

    exit_code = os.EX_TEMPFAIL


def outcomes(
    command_id: Annotated[str | None, typer.Argument(help="only of this command")] = None,
    last: Annotated[int, typer.Option(min=0, help="how many of the newest")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on with those that come")] = False,
    json: Json = False,
) -> None:
    """Show the newest outcomes of commands, one command's, or those that come; Ctrl-C ends it."""
    settings = load_settings()
    say = as_json if json else as_line
    with suppress(KeyboardInterrupt):
        for outcome in _asked(settings, command_id, last, follow):
            typer.echo(say(outcome))


def _asked(settings: Settings, command_id: str | None, last: int, follow: bool) -> Iterator[Outcome]:
    from ops.kafka import records

    ends = records.ends(settings, TOPIC)
    if command_id is None:
        yield from newest(settings, ends, last)
    else:
        yield from (found := one(settings, ends, command_id))
        if not found and not follow:
            raise NoOutcome(f"There is no outcome of command {command_id}: none yet, or it is older than a week.")
    if follow:
        with records.Log(settings, TOPIC, ends) as log, records.kafka(settings):
            while True:
                yield from (each for each in decoded(log.batch()) if command_id in (None, each.command_id))


def newest(settings: Settings, ends: dict[int, int], count: int) -> list[Outcome]:
    """Return the `count` newest outcomes, oldest first.

    How many records a range has only reading tells: there are transaction markers among them. So it is doubled until it
    is enough.
    """
    from ops.kafka import records

    begins, reach, found = records.begins(settings, TOPIC), 2 * count, list[Any]()
    while len(found) < count and (reach == 2 * count or any(ends[n] - reach // 2 > begins[n] for n in ends)):
        start = {number: max(begins[number], end - reach) for number, end in ends.items()}
        with records.Log(settings, TOPIC, start) as log, records.kafka(settings):
            found = [record for batch in log.upto(ends) for record in batch]
        reach *= 2
    found.sort(key=lambda record: record.timestamp)
    return list(decoded(found[-count:] if count else []))


def one(settings: Settings, ends: dict[int, int], command_id: str) -> list[Outcome]:
    """Return the outcomes of one command: one, or the same again for each time it came; all are on one partition."""
    from ops.kafka import records
    from streams.kafka.partitions import partition_of

    key = command_id.encode()
    number = partition_of(key, settings.partitions)
    start, end = {number: records.begins(settings, TOPIC)[number]}, {number: ends[number]}
    with records.Log(settings, TOPIC, start) as log, records.kafka(settings):
        return list(decoded(record for batch in log.upto(end) for record in batch if record.key == key))


def decoded(records: Iterable[Any]) -> Iterator[Outcome]:
    """Yield the outcomes in records of the topic; records that are not outcomes are left out."""
    for record in records:
        with suppress(ValueError, KeyError, TypeError):
            yield _ours(Outcome.decode(record.value))


def _ours(outcome: Outcome) -> Outcome:
    """Return an outcome that can be shown; `TypeError` of another."""
    texts = (outcome.command_id, outcome.command_type, outcome.aggregate_id, outcome.time)
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(each, dict) for each in outcome.events):
        raise TypeError("not an outcome of ours")
    return outcome


def as_json(outcome: Outcome) -> str:
    """Return an outcome's data on a line, as it is on the topic, with its time."""
    envelope = orjson.loads(outcome.encode())
    return orjson.dumps({**envelope["data"], "time": outcome.time, "correlationId": outcome.correlation_id}).decode()


def as_line(outcome: Outcome) -> str:
    """Return an outcome on a line for a person."""
    name = outcome.command_type or "(no type)"
    what = f"{outcome.time}  {outcome.status}  {name:<16}  {outcome.aggregate} {outcome.aggregate_id}"
    events = ", ".join(event["type"] for event in outcome.events) or "nothing new"
    result = f"version {outcome.version}: {events}" if outcome.code is None else f"{outcome.code}: {outcome.message}"
    source = f" of {outcome.command_source}" if outcome.command_source else ""
    return f"{what}  {result}  ({outcome.command_id}{source})"
