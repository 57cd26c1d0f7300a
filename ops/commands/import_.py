"""`fulfillment import`."""

import typer

from ops.commands.export import Directory
from ops.commands.options import load_settings
from ops.commands.progress import progress


def import_(directory: Directory) -> None:
    """Import an archive into an empty installation whose workers are stopped.

    The whole archive is checked before anything is written. Ids, sequences and times stay the same; offsets change. To
    continue after an interruption, run the same command again.
    """
    from ops.archive.importing import import_archive

    for sentence in import_archive(load_settings(), directory, progress):
        typer.echo(sentence)
