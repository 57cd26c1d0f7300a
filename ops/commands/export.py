"""`fulfillment export`."""

from pathlib import Path
from typing import Annotated

import typer

from ops.commands.options import load_settings
from ops.commands.progress import progress
from ops.errors import Misconfigured
from streams.wording import counted

Directory = Annotated[Path, typer.Argument(help="Directory of the archive.")]


def export(
    directory: Directory,
    order: Annotated[str | None, typer.Option(help="Only the events of this order.")] = None,
    product: Annotated[str | None, typer.Option(help="Only the events of this product.")] = None,
) -> None:
    """Write all events to a directory as compressed NDJSON, with a manifest of offsets, counts and checksums.

    The system can keep running: the archive is one moment of it. It also has outcomes, dead letters, idempotency keys
    and the commands that were not decided at that moment.
    """
    from ops.archive.exporting import export_aggregate, export_all
    from ops.archive.files import MANIFEST
    from streams.topics import INVENTORY_EVENTS, ORDER_EVENTS

    if order is not None and product is not None:
        raise Misconfigured("Choose --order or --product: an archive has one of them, or everything.")
    settings = load_settings()
    if order is None and product is None:
        manifest = export_all(settings, directory, progress)
        counts = ", ".join(f"{file.records:,} × {file.topic or file.name.split('.')[0]}" for file in manifest.files)
        typer.echo(f"{directory / MANIFEST}: {counts}")
    else:
        topic = INVENTORY_EVENTS if order is None else ORDER_EVENTS
        count = export_aggregate(settings, directory, topic.name, str(order or product), progress)
        typer.echo(f"{directory / MANIFEST}: {counted(count, 'event')}")
