"""The user of the command line, as an operator whose actions are recorded."""

import getpass
from contextlib import suppress
from typing import Any

from projections.mongo.actions import Action, OperatorActions
from projections.mongo.client import Mongo
from streams.runtime.settings import Settings


def principal() -> str:
    """Return the name of the user of this process, as histories show it; `cli:` tells it from names of tokens."""
    name = "unknown"
    with suppress(OSError, KeyError, ImportError):  # a container may have a user without a name
        name = getpass.getuser()
    return f"cli:{name}"[:128]


async def record(settings: Settings, action: str, target: str, **details: Any) -> str | None:
    """Record an action that is about to be done; return why it could not be stored, if so."""
    about = {name: value for name, value in details.items() if value is not None}
    mongo = Mongo(settings)
    try:
        return await OperatorActions(mongo).record(Action(principal(), action, target, "cli", about))
    finally:
        await mongo.close()
