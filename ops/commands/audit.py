"""`fulfillment audit`."""

import asyncio
import json as jsons
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from ops.audit.report import Drift, Report
from ops.commands.options import Json, load_settings
from ops.commands.progress import progress
from ops.commands.tables import table
from streams.wording import counted

LISTED = 50  # drifts


def audit(
    repair: Annotated[bool, typer.Option("--repair", help="Overwrite documents that differ from the events.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted audit with the partitions that are left.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare tables and read models with the events, and check that quantities add up; exit with 1 on drift.

    The system can keep running. Tables are not repaired, because a worker restores its table from the changelog when
    it starts.
    """
    from ops.audit.run import run

    settings = load_settings()
    try:
        report = asyncio.run(run(settings, repair, progress, resume=resume, tell=_tell))
    except KeyboardInterrupt:
        _tell("interrupted: run `fulfillment audit --resume` to continue")
        raise typer.Exit(130) from None
    if json:
        typer.echo(jsons.dumps(report.as_json()))
    else:
        Console(highlight=False, soft_wrap=False).print(report_tables(report))
    raise typer.Exit(0 if report.clean else 1)


def _tell(sentence: str) -> None:
    typer.echo(sentence, err=True)


def report_tables(report: Report) -> Group:
    """Return a report as tables."""
    return Group(*_parts(report))


def _parts(report: Report) -> Iterator[RenderableType]:
    yield _checked(report)
    if report.drifts:
        yield _drifts(report.drifts[:LISTED])
        if (more := report.counts.total() - LISTED) > 0:
            yield f"… and {more:,} more; --json lists up to {len(report.drifts):,}"
    yield from (escape(f"note: {note}") for note in report.notes)
    yield _sentence(report)


def _checked(report: Report) -> Table:
    found = table("compared", "number", "not compared, in flight")
    for column in found.columns[1:]:
        column.justify = "right"
    found.add_row("events", f"{report.events:,}", "")
    for what, count in report.checked.items():
        flying = report.in_flight[what]
        found.add_row(what, f"{count:,}", f"{flying:,}" if flying else "")
    return found


def _drifts(drifts: list[Drift]) -> Table:
    found = table("drift", "where", "key", "difference")
    for drift in drifts:
        what = f"{drift.what} [repaired]" if drift.repaired else drift.what
        found.add_row(drift.kind.value, drift.where, escape(drift.key), escape(what))
    return found


def _sentence(report: Report) -> str:
    rate = f"{report.seconds:.1f} s, {report.events / max(report.seconds, 0.001):,.0f} events per second"
    if not report.counts:
        partly = " as far as it was compared" if report.in_flight.total() or report.notes else ""
        return f"[green]clean[/]: everything matches the events{partly} ({rate})"
    counts = ", ".join(f"{count:,} × {kind.value}" for kind, count in report.counts.most_common())
    repaired = f"; {counted(report.repaired, 'document was', 'documents were')} repaired" if report.repaired else ""
    return f"[red]drift[/]: {counts}{repaired} ({rate})"
