"""`fulfillment restart`."""

import asyncio
from typing import Annotated

import typer

from ops.commands.options import load_settings
from streams.runtime.settings import ROLES
from streams.wording import counted


def restart(
    roles: Annotated[list[str] | None, typer.Argument(metavar="[ROLE]...", help=", ".join(ROLES))] = None,
    wait: Annotated[float, typer.Option(min=1, help="Seconds that each worker has to become ready.")] = 60.0,
) -> None:
    """Restart the workers of the given roles, or of all, one at a time; exit with 1 if one does not become ready."""
    from ops.stack.restart import restart

    count = asyncio.run(restart(load_settings(), roles or [], wait, typer.echo))
    typer.echo(f"restarted {counted(count, 'worker')}")
