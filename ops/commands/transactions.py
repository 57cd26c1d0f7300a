"""`fulfillment transactions`."""

import asyncio
import json as jsons
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ops.commands.auditing import record
from ops.commands.options import Json, load_settings
from ops.commands.tables import table

transactions = typer.Typer(no_args_is_help=True, help="List and abort open transactions that block topics.")


@transactions.command("list")
def list_transactions(json: Json = False) -> None:
    """List transactions that block a topic for longer than FULFILLMENT_OPEN_TRANSACTION; exit with 1 if any do."""
    from ops.kafka.transactions import find

    found = asyncio.run(find(load_settings()))
    if json:
        typer.echo(jsons.dumps([one.as_json() for one in found]))
    elif found:
        Console().print(_table(found))
    else:
        typer.echo("no transaction blocks a topic of this installation")
    raise typer.Exit(1 if found else 0)


@transactions.command()
def abort(
    place: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION", help="The blocked partition.")],
    producer: Annotated[int | None, typer.Option(help="Only the transaction of this producer id.")] = None,
) -> None:
    """Abort the transactions that block TOPIC/PARTITION; a producer that still runs is fenced and must restart."""
    from ops.kafka.transactions import abort

    settings = load_settings()
    record(settings, "abort transactions", place, producer=producer)
    for line in asyncio.run(abort(settings, place, producer)):
        typer.echo(line)


def _table(found: list[Any]) -> Table:
    shown = table("blocked", "transactional id", "producer id", "open for", "timeout", "command to abort it")
    for one in found:
        seconds = "" if one.seconds is None else f"{one.seconds:.0f} s"
        timeout = "none (hanging)" if one.hanging else f"{one.timeout_seconds:.0f} s"
        at = f"{one.topic}/{one.partition}@{one.offset}"
        shown.add_row(at, one.transactional_id or "unknown", str(one.producer_id), seconds, timeout, one.command)
    return shown
