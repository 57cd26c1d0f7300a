"""A flow for people."""

from collections.abc import Sequence

from rich.text import Text
from rich.tree import Tree

from ops.tracing.nodes import Node, count

COLOURS = {"accepted": "green", "rejected": "red", "parked": "yellow"}


def tree(correlation: str, roots: Sequence[Node]) -> Tree:
    """Return the tree of a flow: commands bold, events below the commands that caused them."""
    commands, events = count(roots, "command"), count(roots, "event")
    shown = Tree(Text(f"{correlation}  {commands} commands, {events} events", style="dim"))
    for node in roots:
        _add(shown, node, None)
    return shown


def _add(above: Tree, node: Node, told: str | None) -> None:
    below = above.add(_line(node, told))
    for caused in node.caused:
        _add(below, caused, node.time)


def _line(node: Node, told: str | None) -> Text:
    """Return a node on a line; its time only where it is not the one above."""
    line = Text(node.type or "a command that is not kept any more", style="bold" if node.kind == "command" else "")
    if node.aggregate_id:
        line.append(f"  {node.aggregate} {node.aggregate_id}", style="not bold")
    if node.sequence is not None:
        line.append(f"  version {node.sequence}")
    if node.status:
        said = f"  {node.status}" if node.code is None else f"  {node.status}: {node.code}: {node.message}"
        line.append(said, style=f"not bold {COLOURS[node.status]}")
    if node.kind == "command" and node.source:
        line.append(f"  from {node.source}", style="not bold dim")
    if node.time and node.time != told:
        line.append(f"  {node.time}", style="not bold dim")
    return line
