"""Receiving, setting and correcting what is on hand."""

from domain.errors import InsufficientStock, InvalidQuantity, StaleQuantity
from domain.message import MAX_STOCK

from .book import moved, refuse_overflow
from .commands import AdjustStock, ReceiveStock, SetStock
from .events import InventoryEvent, StockAdjusted, StockReceived
from .state import Reservations, Stock


def receive(command: ReceiveStock, stock: Stock, reservations: Reservations, product_id: str) -> list[InventoryEvent]:
    """Put delivered units on the shelf."""
    _refuse_too_many(stock, command.quantity)
    refuse_overflow(stock.balance, received=command.quantity)
    balance = moved(stock.balance, on_hand=command.quantity, received=command.quantity)
    return [StockReceived(balance=balance, quantity=command.quantity)]


def set_available(command: SetStock, stock: Stock, reservations: Reservations, product_id: str) -> list[InventoryEvent]:
    """Adjust so that `quantity` units are available, before waiting lines are served from them.

    Setting the same quantity again counts what waiting lines got of it as still there: a repeat changes nothing.
    """
    available, quantity = stock.balance.available, command.quantity
    given = stock.given if quantity == stock.set_to else 0
    missing = quantity - available
    delta = missing if missing < 0 else max(missing - given, 0)
    if stock.exists and delta == 0:
        return []
    return [_adjusted(stock, delta, "set", set_to=quantity)]


def adjust(command: AdjustStock, stock: Stock, reservations: Reservations, product_id: str) -> list[InventoryEvent]:
    """Correct what is on hand, unless it is not what was expected or units are reserved."""
    balance = stock.balance
    if command.delta == 0:
        raise InvalidQuantity(reason="an adjustment by 0 units changes nothing")
    if command.expected_on_hand not in (None, balance.on_hand):
        raise StaleQuantity(expected=command.expected_on_hand, onHand=balance.on_hand)
    if balance.available + command.delta < 0:
        raise InsufficientStock(productId=product_id, asked=-command.delta, available=balance.available)
    return [_adjusted(stock, command.delta, command.reason)]


def _adjusted(stock: Stock, delta: int, reason: str, set_to: int | None = None) -> StockAdjusted:
    _refuse_too_many(stock, delta)
    refuse_overflow(stock.balance, adjusted=delta)
    balance = moved(stock.balance, on_hand=delta, adjusted=delta)
    return StockAdjusted(balance=balance, delta=delta, reason=reason, set_to=set_to)


def _refuse_too_many(stock: Stock, units: int) -> None:
    if units > 0 and stock.balance.on_hand + units > MAX_STOCK:
        raise InvalidQuantity(reason=f"no product may have more than {MAX_STOCK} units on hand")
