"""Counting: units are received, set or corrected."""

from msgspec.structs import replace

from domain.errors import InsufficientStock, InvalidQuantity, StaleQuantity
from domain.ids import refuse_confusable
from domain.message import MAX_STOCK

from .commands import AdjustStock, CountStock, ReceiveStock, SetStock
from .events import Balance, StockAdjusted, StockReceived, StockRequeued
from .figures import moved, refuse_overflow, with_balance
from .locations import Moved, after, at, known, refuse_closed, refuse_new, refuse_unknown
from .requeueing import requeue, units_missing
from .state import Stock, StockState


def receive(command: ReceiveStock, state: StockState) -> list[StockReceived]:
    """Receive delivered units into stock. The first delivery creates the product."""
    stock, quantity = state.stock, command.quantity
    _refuse_confusable_product(state)
    refuse_new(stock, command.location)
    refuse_closed(stock, command.location)
    _refuse_too_many(stock.balance, quantity)
    refuse_overflow(stock.balance, received=quantity)
    balance = moved(stock.balance, on_hand=quantity, received=quantity)
    locations = after(stock, command.location, Moved(on_hand=quantity))
    return [StockReceived(balance=balance, locations=locations, quantity=quantity, location=command.location)]


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
    missing = quantity - at(stock, None).available
    delta = missing if missing < 0 else max(missing - given, 0)
    if stock.exists and delta == 0:
        return []
    return [_adjusted(stock, delta, "set", set_to=quantity)]


def adjust(command: AdjustStock, state: StockState) -> list[StockRequeued | StockAdjusted]:
    """Correct the units on hand, unless a different number was expected or more units are lost than there are."""
    if command.delta == 0:
        raise InvalidQuantity(reason="an adjustment must not be 0 units")
    refuse_unknown(state.stock, command.location)
    on_hand = at(state.stock, command.location).on_hand
    _refuse_stale(command.expected_on_hand, on_hand)
    if on_hand + command.delta < 0:
        raise InsufficientStock(productId=state.product_id, asked=-command.delta, available=on_hand)
    return _corrected(command, state, command.delta)


def count(command: CountStock, state: StockState) -> list[StockRequeued | StockAdjusted]:
    """Adjust the units on hand to the counted ones; no event if they are the same. May create the product."""
    stock = state.stock
    _refuse_confusable_product(state)
    refuse_new(stock, command.location)
    on_hand = at(stock, command.location).on_hand
    _refuse_stale(command.expected_on_hand, on_hand)
    delta = command.quantity - on_hand
    if stock.exists and delta == 0 and known(stock, command.location):
        return []
    return _corrected(command, state, delta)


def _refuse_stale(expected: int | None, on_hand: int) -> None:
    if expected not in (None, on_hand):
        raise StaleQuantity(expected=expected, onHand=on_hand)


def _corrected(command: AdjustStock | CountStock, state: StockState, delta: int) -> list[StockRequeued | StockAdjusted]:
    """Return the correction; before it, the newest reservations give up the units that are missing for it."""
    stock, missing = state.stock, units_missing(command, state.stock)
    requeued = requeue(state, missing, command.location) if missing else []
    if requeued:
        stock = with_balance(stock, requeued[-1])
    return [*requeued, _adjusted(stock, delta, command.reason, location=command.location)]


def adjusted(stock: Stock, event: StockAdjusted) -> Stock:
    """Return `stock` with corrected units on hand, and with the quantity if it was set."""
    after = replace(with_balance(stock, event), exists=True)
    if event.set_to is None:
        return after
    return replace(after, set_to=event.set_to, given=stock.given if stock.set_to == event.set_to else 0)


def _adjusted(
    stock: Stock, delta: int, reason: str, set_to: int | None = None, location: str | None = None
) -> StockAdjusted:
    _refuse_too_many(stock.balance, delta)
    refuse_overflow(stock.balance, adjusted=delta)
    return StockAdjusted(
        balance=moved(stock.balance, on_hand=delta, adjusted=delta),
        locations=after(stock, location, Moved(on_hand=delta)),
        delta=delta,
        reason=reason,
        set_to=set_to,
        location=location,
    )


def _refuse_confusable_product(state: StockState) -> None:
    if not state.stock.exists:
        refuse_confusable("productId", state.product_id)


def _refuse_too_many(balance: Balance, units: int) -> None:
    if units > 0 and balance.on_hand + units > MAX_STOCK:
        raise InvalidQuantity(reason=f"a product cannot have more than {MAX_STOCK} units on hand")
