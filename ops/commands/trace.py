"""`fulfillment trace`: the tree of commands and events of one flow, read from the topics."""

import os
from typing import Annotated

import orjson
import typer
from rich.console import Console

from ops.commands.options import Json, load_settings
from ops.errors import CommandFailed


class NoFlow(CommandFailed):
    """Nothing on the topics belongs to the flow."""

    exit_code = os.EX_TEMPFAIL


def trace(
    correlation: Annotated[
        str, typer.Argument(help="the flow's correlation id, or the id of the command it began with")
    ],
    since: Annotated[
        str | None, typer.Option(help="read from this time on; else from the id's own time, or from the beginning")
    ] = None,
    json: Json = False,
) -> None:
    """Print what one command led to, across topics: commands, events, rejections, parked letters."""
    from ops.commands import trace_tree as show
    from ops.tracing import flow

    settings = load_settings()
    found = flow.read(settings, correlation, flow.begin(correlation, since))
    if not found:
        raise NoFlow(f"Nothing on the topics belongs to {correlation}: commands and outcomes are kept for a week.")
    if json:
        typer.echo(orjson.dumps([node.document() for node in found]).decode())
    else:
        Console(highlight=False).print(show.tree(correlation, found))
