"""`fulfillment worker`."""

from typing import Annotated

import typer

from ops.commands.options import load_settings
from streams.runtime.settings import ROLES


def worker(
    role: Annotated[str, typer.Argument(help=", ".join(ROLES))],
    instance: Annotated[
        str | None, typer.Option(help="Name of this worker, unique within its role; keep it the same across restarts.")
    ] = None,
) -> None:
    """Run one worker of ROLE in this process."""
    from ops.worker import run

    run(role, load_settings(**({"instance": instance} if instance else {})))
