"""Orders: commands, events, state, and the functions between them."""

from typing import get_args

from . import commands, events, state
from .commands import OrderCommand, identified
from .decider import decide, evolve
from .events import OrderEvent
from .state import Order

COMMANDS: dict[str, type[OrderCommand]] = {kind.__name__: kind for kind in get_args(OrderCommand)}
EVENTS: dict[str, type[OrderEvent]] = {kind.__name__: kind for kind in get_args(OrderEvent)}

__all__ = [
    "COMMANDS", "EVENTS", "Order", "OrderCommand", "OrderEvent",
    "commands", "decide", "events", "evolve", "identified", "state",
]  # fmt: skip
