"""The entry that a command of an operator leaves in the audit log."""

import asyncio
import logging
from typing import Any

import typer

from streams.runtime.settings import Settings


def record(settings: Settings, action: str, target: str, **details: Any) -> None:
    """Record an action before it is done; warn if that is not possible."""
    from ops.operators import record

    logging.getLogger("projections.mongo.actions").addHandler(logging.NullHandler())  # the warning is the sentence here
    logging.getLogger("projections.mongo.actions").propagate = False
    if (why := asyncio.run(record(settings, action, target, **details))) is not None:
        typer.echo(f"This action is missing from the audit log. {why}", err=True)
