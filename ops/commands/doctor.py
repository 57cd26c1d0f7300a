"""`fulfillment doctor`."""

import asyncio

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from ops.commands.options import Json, load_settings
from ops.commands.tables import table
from ops.doctor.finding import Finding


def doctor(json: Json = False) -> None:
    """Check versions, ports, processes, topics, groups, indexes, clocks and disk; exit with 1 if a check fails."""
    from ops.doctor.examine import examine

    found = asyncio.run(examine(load_settings(), lambda waiting: typer.echo(waiting, err=True)))
    if json:
        typer.echo(orjson.dumps([each.as_json() for each in found]).decode())
    else:
        _show(found)
    raise typer.Exit(0 if all(each.well for each in found) else 1)


def _show(found: list[Finding]) -> None:
    shown = table("", "check", "found", "what to do")
    for each in found:
        mark = "[green]ok[/]" if each.well else "[red]no[/]"
        shown.add_row(mark, escape(each.what), escape(each.found), escape(each.remedy))
    Console().print(shown)
    trouble = sum(not each.well for each in found)
    Console().print(f"{trouble} of {len(found)} checks need attention" if trouble else "all checks passed")
