"""`fulfillment produce`."""

import sys
from typing import Annotated

import typer

from ops.commands.options import Json, load_settings


def produce(
    type: Annotated[
        str, typer.Argument(help="Command type, for example PlaceOrder; with -, stdin has one envelope per line.")
    ] = "-",
    key: Annotated[str | None, typer.Option(help="Id of the order or product; optional for a new order.")] = None,
    data: Annotated[str, typer.Option(help="Data of the command, as JSON.")] = "{}",
    topic: Annotated[
        str | None, typer.Option(help="With --force: topic for messages whose type belongs to no topic.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Send invalid commands too, to try out dead letters.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the outcomes; exit with 1 if one is rejected.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that --wait waits.")] = 10.0,
    json: Json = False,
) -> None:
    """Send commands to Kafka and print their ids; exit with 65 and send none if one is invalid."""
    from ops.commands.outcomes import as_json, as_line
    from ops.kafka import outcomes, records, sending

    settings = load_settings()
    lines = sys.stdin.buffer.read().splitlines() if type == "-" else [sending.envelope(type, data)]
    parcels = [sending.parcel(line, key, topic) for line in lines if line.strip()]
    complaints = sending.refuse_bad(parcels, numbered=type == "-", force=force)
    typer.echo(complaints, err=True, nl=bool(complaints))
    ends = records.ends(settings, outcomes.TOPIC)
    ids = sending.send(settings, parcels)
    if not wait:
        typer.echo("\n".join(ids), nl=bool(ids))
        return
    found = sending.wait_for(settings, parcels, ids, ends, timeout)
    show = as_json if json else as_line
    for command_id, outcome in zip(ids, found, strict=True):
        if outcome is not None:
            typer.echo(show(outcome))
        else:
            typer.echo(f"command {command_id} has no outcome after {timeout:g} s", err=True)
    raise typer.Exit(sending.exit_code(found))
