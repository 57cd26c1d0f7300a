"""Counting: units are received, set or corrected."""

from msgspec.structs import replace

from domain.errors import InsufficientStock, InvalidQuantity, StaleQuantity
from domain.ids import refuse_confusable
from domain.message import MAX_STOCK

from .commands import AdjustStock, ReceiveStock, SetStock
from .events import StockAdjusted, StockReceived
from .figures import moved, refuse_overflow, with_balance
from .state import Stock, StockState


def receive(command: ReceiveStock, state: StockState) -> list[StockReceived]:
    """Receive delivered units into stock. The first delivery creates the product."""
    stock = state.stock
    _refuse_confusable_product(state)
    _refuse_too_many(stock, command.quantity)
    refuse_overflow(stock.balance, received=command.quantity)
    balance = moved(stock.balance, on_hand=command.quantity, received=command.quantity)
    return [StockReceived(balance=balance, quantity=command.quantity)]


def received(stock: Stock, event: StockReceived) -> Stock:
    """Return `stock` with more units on hand."""
    return replace(with_balance(stock, event), exists=True)


def set_available(command: SetStock, state: StockState) -> list[StockAdjusted]:
    """Adjust stock so that `quantity` units are available before waiting lines are served. May create the product.

    If the same quantity is set again, units already given to waiting lines count as available, so that a repeat has no
    effect.
    """
    stock, quantity = state.stock, command.quantity
    _refuse_confusable_product(state)
    given = stock.given if quantity == stock.set_to else 0
    missing = quantity - stock.balance.available
    delta = missing if missing < 0 else max(missing - given, 0)
    if stock.exists and delta == 0:
        return []
    return [_adjusted(stock, delta, "set", set_to=quantity)]


def adjust(command: AdjustStock, state: StockState) -> list[StockAdjusted]:
    """Correct the units on hand, unless a different number was expected or the units are reserved."""
    balance = state.stock.balance
    if command.delta == 0:
        raise InvalidQuantity(reason="an adjustment must not be 0 units")
    if command.expected_on_hand not in (None, balance.on_hand):
        raise StaleQuantity(expected=command.expected_on_hand, onHand=balance.on_hand)
    if balance.available + command.delta < 0:
        raise InsufficientStock(productId=state.product_id, asked=-command.delta, available=balance.available)
    return [_adjusted(state.stock, command.delta, command.reason)]


def adjusted(stock: Stock, event: StockAdjusted) -> Stock:
    """Return `stock` with corrected units on hand, and with the quantity if it was set."""
    after = replace(with_balance(stock, event), exists=True)
    if event.set_to is None:
        return after
    return replace(after, set_to=event.set_to, given=stock.given if stock.set_to == event.set_to else 0)


def _adjusted(stock: Stock, delta: int, reason: str, set_to: int | None = None) -> StockAdjusted:
    _refuse_too_many(stock, delta)
    refuse_overflow(stock.balance, adjusted=delta)
    balance = moved(stock.balance, on_hand=delta, adjusted=delta)
    return StockAdjusted(balance=balance, delta=delta, reason=reason, set_to=set_to)


def _refuse_confusable_product(state: StockState) -> None:
    if not state.stock.exists:
        refuse_confusable("productId", state.product_id)


def _refuse_too_many(stock: Stock, units: int) -> None:
    if units > 0 and stock.balance.on_hand + units > MAX_STOCK:
        raise InvalidQuantity(reason=f"a product cannot have more than {MAX_STOCK} units on hand")
