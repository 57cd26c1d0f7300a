"""`fulfillment produce`: commands straight into Kafka, as any producer would send them."""

import os
import sys
from typing import Annotated

import typer

from ops.commands.options import Json, load_settings
from ops.errors import CommandFailed


class BadCommands(CommandFailed):
    """What was given is no command; nothing was sent."""

    exit_code = os.EX_DATAERR


def produce(
    type: Annotated[str, typer.Argument(help="the command, such as PlaceOrder; - reads envelopes, a line each")] = "-",
    key: Annotated[str | None, typer.Option(help="the order's or product's id; a new order needs none")] = None,
    data: Annotated[str, typer.Option(help="the command's data as JSON")] = "{}",
    topic: Annotated[str | None, typer.Option(help="with --force: where to send what no topic takes")] = None,
    force: Annotated[bool, typer.Option("--force", help="send also what is refused, to try dead letters")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="wait for the outcomes; exits 1 when one is rejected")] = False,
    timeout: Annotated[float, typer.Option(help="seconds --wait waits")] = 10.0,
    json: Json = False,
) -> None:
    """Send commands to their topics and print their ids; exits 65 when one is no command, and sends none then."""
    from ops.commands import outcomes
    from ops.kafka import records, sending

    settings = load_settings()
    lines = sys.stdin.buffer.read().splitlines() if type == "-" else [sending.envelope(type, data)]
    parcels = [sending.parcel(line, key, topic) for line in lines if line.strip()]
    refused = [(n, parcel.refused) for n, parcel in enumerate(parcels, 1) if parcel.refused]
    where = "line {}: " if type == "-" else ""
    complaints = "\n".join(f"{where.format(n)}{error.code}: {error.message}" for n, error in refused)
    if refused and not force:
        raise BadCommands(f"{complaints}\nNothing was sent; --force sends it all the same.")
    typer.echo(complaints, err=True, nl=bool(complaints))
    ends = records.ends(settings, outcomes.TOPIC)
    ids = sending.send(settings, parcels)
    if not wait:
        typer.echo("\n".join(ids), nl=bool(ids))
        return
    found = sending.wait_for(settings, parcels, ids, ends, timeout)
    say = outcomes.as_json if json else outcomes.as_line
    for command_id, outcome in zip(ids, found, strict=True):
        if outcome is not None:
            typer.echo(say(outcome))
        else:
            typer.echo(f"no outcome within {timeout:g} s of command {command_id}", err=True)
    raise typer.Exit(sending.exit_code(found))
