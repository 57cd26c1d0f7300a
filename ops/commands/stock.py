"""`fulfillment stock`."""

import asyncio
import os
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer

from ops.commands.options import Json, load_settings
from ops.commands.progress import progress
from ops.progress import silent
from streams.wording import counted

stock = typer.Typer(no_args_is_help=True, help="Receive and count stock with files.")
STATUSES = ("accepted", "repeated", "valid", "pending", "rejected", "invalid")


@stock.callback()
def main() -> None:
    """Receive and count stock with files."""


@stock.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="CSV or XLSX with the columns productId, quantity and, optionally, location.")
    ],
    mode: Annotated[
        Literal["receive", "count"],
        typer.Option(help="Whether the quantities are units that arrived, or all units on hand."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and send nothing.")] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Import the valid lines of a file that has invalid ones.")
    ] = False,
    sheet: Annotated[str | None, typer.Option(help="Name of the sheet, if a workbook has several.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Name of this import, to import the same content again on purpose.")
    ] = None,
    json: Json = False,
) -> None:
    """Import a file of stock, after a dry run that must find no invalid line; report on every line.

    Importing the same file again changes nothing, or continues an interrupted import. Exit with 65 if a line is invalid
    and nothing was sent, with 75 if an outcome is not known yet, and with 1 if a line is rejected or was skipped.
    """
    from ops.stock_files import StockFile

    query = {"mode": mode, "sheet": sheet, "reference": reference}
    found = StockFile(file, {name: value for name, value in query.items() if value is not None})
    raise typer.Exit(asyncio.run(_import(found, dry_run, skip_invalid, json)))


async def _import(file: Any, dry_run: bool, skip_invalid: bool, json: bool) -> int:
    from ops.http import http_api

    async with http_api(load_settings(), connections=1) as api:
        checked: dict[str, Any] = {}
        async with aclosing(file.run(api, dryRun="true")) as reports:
            async for report in reports:
                checked = report.get("summary", checked)
                if dry_run or (report.get("status") == "invalid" and not skip_invalid):
                    typer.echo(_shown(report, json))
        if dry_run or (checked.get("invalid") and not skip_invalid):
            if not dry_run:
                typer.echo(f"Nothing was sent: {counted(checked['invalid'], 'line is', 'lines are')} invalid. "
                           "Correct what is wrong, or add --skip-invalid.", err=True)  # fmt: skip
            return os.EX_DATAERR if checked.get("invalid") else 0
        return await _carry_out(file, api, checked["lines"], json)


async def _carry_out(file: Any, api: Any, total: int, json: bool) -> int:
    summary: dict[str, Any] = {}
    # On a terminal the report itself shows the progress.
    with silent("lines", total) if sys.stdout.isatty() else progress("lines", total) as advance:
        async with aclosing(file.run(api, invalid="skip")) as reports:
            async for report in reports:
                typer.echo(_shown(report, json))
                if "summary" in report:
                    summary = report["summary"]
                else:
                    advance()
    if summary.get("rejected") or summary.get("invalid"):
        return 1
    return os.EX_TEMPFAIL if summary.get("pending") else 0


def _shown(report: dict[str, Any], json: bool) -> str:
    """Return a line of the report, or its summary."""
    if json:
        return orjson.dumps(report).decode()
    if (summary := report.get("summary")) is not None:
        counts = ", ".join(f"{summary[status]:,} {status}" for status in STATUSES if summary.get(status))
        ignored = f"; ignored columns: {', '.join(summary['ignoredColumns'])}" if summary["ignoredColumns"] else ""
        return f"{counted(summary['lines'], 'line')}: {counts or 'none'}{ignored}"
    where = f" at {report['location']}" if "location" in report else ""
    what = f"{report['productId']} {report['quantity']:,}{where}: " if "productId" in report else ""
    has = f", {report['onHand']:,} on hand" if "onHand" in report else ", a new product" if "new" in report else ""
    why = f": {report['message']}" if report.get("message") else has
    return f"line {report['line']}: {what}{report['status']}{why}"
