"""A product with all of its reservations in memory, for examples, measurements and tests."""

from collections.abc import Sequence

from .backorders import first_waiting, units_to_serve
from .commands import InventoryCommand, ReservationCommand
from .decider import decide, evolve_reservation, evolve_stock
from .events import InventoryEvent, ReservationEvent
from .expiring import ExpireReservation
from .requeueing import newest_holding, units_missing
from .state import Reservation, Stock, StockState


class Shelf:
    """A product's stock, held in memory."""

    def __init__(self, product_id: str) -> None:
        self.product_id, self.stock, self.version = product_id, Stock(), 0
        self.reservations: dict[tuple[str, str], Reservation] = {}  # by order and line

    def decide(self, command: InventoryCommand | ExpireReservation) -> Sequence[InventoryEvent]:
        """Return the events `command` causes, without applying them."""
        return decide(command, self.state_for(command))

    def state_for(self, command: InventoryCommand | ExpireReservation) -> StockState:
        """Return the state on which `command` is decided."""
        reservation = None
        if isinstance(command, ReservationCommand | ExpireReservation):
            reservation = self.reservations.get((command.order_id, command.line_id))
        units = units_to_serve(command, self.stock, reservation)
        queue = [each for each in self.reservations.values() if each.place is not None]
        waiting = first_waiting(sorted(queue, key=lambda each: each.place or 0), units)
        missing = units_missing(command, self.stock)
        newest = (
            newest_holding(
                [each for each in self.reservations.values() if each.held], missing, getattr(command, "location", None)
            )
            if missing
            else ()
        )
        return StockState(self.product_id, self.stock, reservation, waiting, self.version, newest)

    def apply(self, event: InventoryEvent) -> None:
        """Apply `event`."""
        self.stock, self.version = evolve_stock(self.stock, event), self.version + 1
        if isinstance(event, ReservationEvent):
            key = event.order_id, event.line_id
            self.reservations[key] = evolve_reservation(self.reservations.get(key), event, self.version)
