"""`fulfillment down`."""

import typer

from ops.commands.options import load_settings


def down() -> None:
    """Stop everything that `up` started."""
    from ops.stack.down import down

    ended = down(load_settings())
    typer.echo(f"stopped {ended} processes" if ended else "nothing was running")
