"""`fulfillment audit`: is everything as the events say?"""

import asyncio
import json as jsons
from typing import Annotated

import typer

from ops.commands.options import Json, load_settings


def audit(
    repair: Annotated[
        bool, typer.Option("--repair", help="write documents that drifted as the events make them")
    ] = False,
    json: Json = False,
) -> None:
    """Fold all events again and compare with tables, documents and what must add up; exits 1 when drift is left.

    The system may run meanwhile. Tables are not repaired: a worker restores its own from its changelog when it starts.
    """
    from rich.console import Console

    from ops.audit.run import run
    from ops.commands.audit_tables import report_tables

    report = asyncio.run(run(load_settings(), repair))
    if json:
        typer.echo(jsons.dumps(report.as_json()))
    else:
        Console(highlight=False, soft_wrap=False).print(report_tables(report))
    raise typer.Exit(0 if report.clean else 1)
