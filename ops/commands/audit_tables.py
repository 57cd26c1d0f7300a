"""An audit for people."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from ops.audit.report import Drift, Report

LISTED = 50  # drifts


def report_tables(report: Report) -> Group:
    """Return what `fulfillment audit` shows a person."""
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
    table = Table("compared")
    for column in ("how many", "in flight, not judged"):
        table.add_column(column, justify="right")
    table.add_row("events", f"{report.events:,}", "")
    for what, count in report.checked.items():
        flying = report.in_flight[what]
        table.add_row(what, f"{count:,}", f"{flying:,}" if flying else "")
    return table


def _drifts(drifts: list[Drift]) -> Table:
    table = Table("drift", "where", "key", "what")
    for drift in drifts:
        what = f"{drift.what} [repaired]" if drift.repaired else drift.what
        table.add_row(drift.kind.value, drift.where, escape(drift.key), escape(what))
    return table


def _sentence(report: Report) -> str:
    rate = f"{report.seconds:.1f} s, {report.events / max(report.seconds, 0.001):,.0f} events a second"
    if not report.counts:
        judged = ", as far as it could be judged" if report.in_flight.total() or report.notes else ""
        return f"[green]clean[/]: everything is as the events say{judged} ({rate})"
    counts = ", ".join(f"{count:,} × {kind.value}" for kind, count in report.counts.most_common())
    mended = f"; {report.repaired:,} documents were written anew" if report.repaired else ""
    return f"[red]drift[/]: {counts}{mended} ({rate})"
