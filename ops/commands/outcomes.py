"""`fulfillment outcomes`."""

from contextlib import suppress
from typing import Annotated

import orjson
import typer

from ops.commands.options import Json, load_settings
from streams.messages.envelope import Outcome


def outcomes(
    command_id: Annotated[str | None, typer.Argument(help="Show only outcomes of this command.")] = None,
    last: Annotated[int, typer.Option(min=0, help="Number of outcomes to start with.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep showing new outcomes until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Show command outcomes: the newest, those of one command, or new ones as they arrive."""
    from ops.kafka.outcomes import outcomes

    show = as_json if json else as_line
    with suppress(KeyboardInterrupt):
        for outcome in outcomes(load_settings(), command_id, last, follow):
            typer.echo(show(outcome))


def as_json(outcome: Outcome) -> str:
    """Return an outcome as one line of JSON: its data on the topic, with its time and correlation id."""
    envelope = orjson.loads(outcome.encode())
    return orjson.dumps({**envelope["data"], "time": outcome.time, "correlationId": outcome.correlation_id}).decode()


def as_line(outcome: Outcome) -> str:
    """Return an outcome as one line of text."""
    name = outcome.command_type or "(no type)"
    what = f"{outcome.time}  {outcome.status}  {name:<16}  {outcome.aggregate} {outcome.aggregate_id}"
    events = ", ".join(event["type"] for event in outcome.events) or "no new events"
    result = f"version {outcome.version}: {events}" if outcome.code is None else f"{outcome.code}: {outcome.message}"
    source = f" from {outcome.command_source}" if outcome.command_source else ""
    return f"{what}  {result}  ({outcome.command_id}{source})"
