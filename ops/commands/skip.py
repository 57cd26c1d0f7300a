"""`fulfillment skip`."""

from typing import Annotated

import typer

from ops.commands.auditing import record
from ops.commands.options import load_settings
from streams.topology import READING


def skip(
    role: Annotated[str, typer.Argument(help=" or ".join(READING))],
    place: Annotated[
        str, typer.Argument(metavar="TOPIC/PARTITION@OFFSET", help="Where the role is blocked, as /readyz shows it.")
    ],
    reason: Annotated[str, typer.Option(help="Why the record is skipped; kept with the record.")],
) -> None:
    """Skip the record that blocks a partition, or the batch that cannot be read."""
    from ops.kafka.skipping import skip

    settings = load_settings()
    record(settings, "skip", place, role=role, reason=reason)
    skipped = skip(settings, role, place, reason)
    typer.echo(f"recorded: {role} skips {skipped} within seconds, if it is blocked there")
