"""Orders: commands, events, state, and the functions that connect them."""

from typing import get_args

from . import commands, events, state
from .commands import OrderCommand, identified
from .decider import BY_TIME, CHANGES, DECISIONS, decide, evolve, evolve_order
from .events import OrderEvent
from .state import Order, OrderState

COMMANDS: dict[str, type[OrderCommand]] = {kind.__name__: kind for kind in get_args(OrderCommand)}
EVENTS: dict[str, type[OrderEvent]] = {kind.__name__: kind for kind in get_args(OrderEvent)}

__all__ = [
    "BY_TIME", "CHANGES", "COMMANDS", "DECISIONS", "EVENTS", "Order", "OrderCommand", "OrderEvent", "OrderState",
    "commands", "decide", "events", "evolve", "evolve_order", "identified", "state",
]  # fmt: skip
