"""Stock: commands, events, state, and the functions between them."""

from typing import get_args

from . import commands, events, state
from .commands import InventoryCommand
from .decide import decide
from .events import InventoryEvent, ReservationEvent
from .evolve import evolve, evolve_reservation
from .state import Reservation, Reservations, Stock

COMMANDS: dict[str, type[InventoryCommand]] = {kind.__name__: kind for kind in get_args(InventoryCommand)}
EVENTS: dict[str, type[InventoryEvent]] = {kind.__name__: kind for kind in get_args(InventoryEvent)}

__all__ = [
    "COMMANDS", "EVENTS", "InventoryCommand", "InventoryEvent", "Reservation", "ReservationEvent", "Reservations",
    "Stock", "commands", "decide", "events", "evolve", "evolve_reservation", "state",
]  # fmt: skip
