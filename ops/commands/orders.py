"""`fulfillment orders`."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ops.commands.options import load_settings
from ops.commands.progress import progress
from ops.errors import Misconfigured
from streams.wording import counted

orders = typer.Typer(no_args_is_help=True, help="Export orders to files.")


@orders.callback()
def main() -> None:
    """Export orders to files."""


@orders.command()
def export(
    format: Annotated[Literal["csv", "parquet"], typer.Option(help="Format of the file.")] = "csv",
    output: Annotated[Path | None, typer.Option(help="The file; without it, CSV goes to stdout.")] = None,
    status: Annotated[list[str] | None, typer.Option(help="Orders with this status; repeat it for several.")] = None,
    allocation_status: Annotated[list[str] | None, typer.Option(help="Orders with this allocation status.")] = None,
    customer: Annotated[list[str] | None, typer.Option(help="Orders of the customer with this id.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Orders placed at this time or later.")] = None,
    to: Annotated[str | None, typer.Option(help="Orders placed before this time.")] = None,
) -> None:
    """Export orders as a table with a row for each line, oldest first.

    The file contains no addresses, because a file outlives the erasure of personal data. In CSV, an apostrophe is
    added before text that a spreadsheet would take for a formula.
    """
    from ops.order_files import complete_file, export

    asked = {"status": status, "allocationStatus": allocation_status, "customerId": customer,
             "from": [since] if since else None, "to": [to] if to else None}  # fmt: skip
    filters = {name: values for name, values in asked.items() if values}
    settings = load_settings()
    if output is not None:
        with complete_file(output) as file:
            count = asyncio.run(export(settings, filters, format, file, progress))
        typer.echo(f"{output}: {counted(count, 'order')}")
    elif format == "csv":
        asyncio.run(export(settings, filters, format, sys.stdout.buffer, progress))
        sys.stdout.flush()
    else:
        raise Misconfigured("Parquet is not text: name a file with --output.")
