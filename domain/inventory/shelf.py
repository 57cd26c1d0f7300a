"""A product with all of its reservations in memory, for examples, measurements and tests."""

from collections.abc import Sequence

from .backorders import first_waiting, units_to_serve
from .commands import InventoryCommand, ReservationCommand
from .decider import decide, evolve_reservation, evolve_stock
from .events import InventoryEvent, ReservationEvent
from .state import Reservation, Stock, StockState


class Shelf:
    """A product's stock, held in memory."""

    def __init__(self, product_id: str) -> None:
        self.product_id, self.stock = product_id, Stock()
        self.reservations: dict[tuple[str, str], Reservation] = {}  # by order and line

    def decide(self, command: InventoryCommand) -> Sequence[InventoryEvent]:
        """Return the events `command` causes, without applying them."""
        return decide(command, self.state_for(command))

    def state_for(self, command: InventoryCommand) -> StockState:
        """Return the state on which `command` is decided."""
        reservation = None
        if isinstance(command, ReservationCommand):
            reservation = self.reservations.get((command.order_id, command.line_id))
        units = units_to_serve(command, self.stock, reservation)
        queue = [each for each in self.reservations.values() if each.place is not None]
        waiting = first_waiting(sorted(queue, key=lambda each: each.place or 0), units)
        return StockState(self.product_id, self.stock, reservation, waiting)

    def apply(self, event: InventoryEvent) -> None:
        """Apply `event`."""
        self.stock = evolve_stock(self.stock, event)
        if isinstance(event, ReservationEvent):
            key = event.order_id, event.line_id
            self.reservations[key] = evolve_reservation(self.reservations.get(key), event)
