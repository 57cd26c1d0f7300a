"""Stock: commands, events, state, and the functions that connect them."""

from typing import get_args

from . import commands, events, state
from .commands import InventoryCommand
from .decider import BY_TIME, CHANGES, DECISIONS, RESERVATION_CHANGES, decide, evolve, evolve_reservation, evolve_stock
from .events import InventoryEvent, ReservationEvent
from .requeueing import told
from .shelf import Shelf
from .state import Reservation, Stock, StockState

COMMANDS: dict[str, type[InventoryCommand]] = {kind.__name__: kind for kind in get_args(InventoryCommand)}
EVENTS: dict[str, type[InventoryEvent]] = {kind.__name__: kind for kind in get_args(InventoryEvent)}

__all__ = [
    "BY_TIME", "CHANGES", "COMMANDS", "DECISIONS", "EVENTS", "RESERVATION_CHANGES", "InventoryCommand",
    "InventoryEvent", "Reservation", "ReservationEvent", "Shelf", "Stock", "StockState",
    "commands", "decide", "events", "evolve", "evolve_reservation", "evolve_stock", "state", "told",
]  # fmt: skip
