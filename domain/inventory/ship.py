"""Units that leave the house reserved, and come back: all commands say totals, so that a repeat changes nothing."""

from domain.errors import InvalidQuantity

from .book import is_stale, moved, refuse_overflow, totals
from .commands import RestockReturn, ShipStock, UnshipStock
from .events import InventoryEvent, StockRestocked, StockShipped, StockUnshipped
from .state import Reservation, Reservations, Stock


def ship(command: ShipStock, stock: Stock, reservations: Reservations, product_id: str) -> list[InventoryEvent]:
    """Take reserved units out until `shipped` are gone in all, as far as they are held."""
    line = reservations.get(command.order_id, command.line_id)
    if line is None or is_stale(command.order_version, line):
        return []
    units = min(line.held, command.shipped - line.shipped)
    if units <= 0:
        return []
    balance = moved(stock.balance, on_hand=-units, allocated=-units, shipped=units)
    after = totals(line, version=command.order_version)
    return [StockShipped(balance=balance, quantity=units, shipped=line.shipped + units, **after)]


def unship(command: UnshipStock, stock: Stock, reservations: Reservations, product_id: str) -> list[InventoryEvent]:
    """Put units back on the shelf, reserved, until only `shipped` are gone."""
    line = reservations.get(command.order_id, command.line_id)
    if line is None or is_stale(command.order_version, line):
        return []
    units = line.shipped - command.shipped
    if units <= 0:
        return []
    balance = moved(stock.balance, on_hand=units, allocated=units, shipped=-units)
    after = totals(line, version=command.order_version)
    return [StockUnshipped(balance=balance, quantity=units, shipped=command.shipped, **after)]


def restock(command: RestockReturn, stock: Stock, reservations: Reservations, product_id: str) -> list[InventoryEvent]:
    """Count returned units in; those not damaged go back on sale."""
    line = reservations.get(command.order_id, command.line_id) or Reservation(command.order_id, command.line_id)
    if is_stale(command.order_version, line):
        return []
    damaged = command.damaged - line.damaged
    good = command.received - line.received - damaged
    if good < 0 or damaged < 0:
        raise InvalidQuantity(reason="the units received of a return, good or damaged, only become more")
    if good == damaged == 0:
        return []
    refuse_overflow(stock.balance, restocked=good, damaged=damaged)
    return [
        StockRestocked(
            balance=moved(stock.balance, on_hand=good, restocked=good, damaged=damaged),
            quantity=good,
            damaged=damaged,
            total_received=command.received,
            total_damaged=command.damaged,
            **totals(line, version=command.order_version),
        )
    ]
