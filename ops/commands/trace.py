"""`fulfillment trace`."""

from collections.abc import Sequence
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ops.commands.options import Json, load_settings
from ops.tracing.nodes import Node, count
from streams.wording import counted

COLOURS = {"accepted": "green", "rejected": "red", "parked": "yellow"}


def trace(
    correlation: Annotated[str, typer.Argument(help="Correlation id of the flow, or the id of its first command.")],
    since: Annotated[
        str | None,
        typer.Option(help="Start reading at this time; by default at the time in the id, or at the beginning."),
    ] = None,
    json: Json = False,
) -> None:
    """Show everything that one command caused, across topics: commands, events, rejections and parked commands."""
    from ops.commands.progress import progress
    from ops.tracing import flow

    found = flow.read(load_settings(), correlation, since, progress)
    if json:
        typer.echo(orjson.dumps([node.document() for node in found]).decode())
    else:
        Console(highlight=False).print(tree(correlation, found))


def tree(correlation: str, roots: Sequence[Node]) -> Tree:
    """Return the tree of a flow: commands in bold, and events below the commands that caused them."""
    commands, events = count(roots, "command"), count(roots, "event")
    shown = Tree(Text(f"{correlation}  {counted(commands, 'command')}, {counted(events, 'event')}", style="dim"))
    for node in roots:
        _add(shown, node, None)
    return shown


def _add(above: Tree, node: Node, time_above: str | None) -> None:
    below = above.add(_line(node, time_above))
    for caused in node.caused:
        _add(below, caused, node.time)


def _line(node: Node, time_above: str | None) -> Text:
    """Return a node as one line; its time only if it differs from that of the line above."""
    line = Text(
        node.type or "a command that has expired from its topic", style="bold" if node.kind == "command" else ""
    )
    if node.aggregate_id:
        line.append(f"  {node.aggregate} {node.aggregate_id}", style="not bold")
    if node.sequence is not None:
        line.append(f"  version {node.sequence}")
    if node.status:
        outcome = f"  {node.status}" if node.code is None else f"  {node.status}: {node.code}: {node.message}"
        line.append(outcome, style=f"not bold {COLOURS[node.status]}")
    if node.kind == "command" and node.source:
        line.append(f"  from {node.source}", style="not bold dim")
    if node.time and node.time != time_above:
        line.append(f"  {node.time}", style="not bold dim")
    return line
