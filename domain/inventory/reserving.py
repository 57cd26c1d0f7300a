"""Reserving: units are held for a line; missing units wait or are rejected, depending on the line's policy."""

from collections.abc import Sequence

from msgspec.structs import replace

from domain.errors import (
    InsufficientStock,
    OrderLineByHand,
    ProductDiscontinued,
    ProductNotFound,
    ReservationExists,
)
from domain.ids import refuse_confusable
from domain.message import MAX_MOVED
from domain.policy import MANUAL, AllocationPolicy

from .backorders import head_after
from .commands import ReserveStock
from .events import ReservationRejected, StockBackordered, StockReserved
from .figures import moved, with_balance, with_totals
from .locations import allocated, chosen, free, shifted, with_units
from .state import Reservation, Stock, StockState

Answered = StockReserved | StockBackordered | ReservationRejected


def reserve(command: ReserveStock, state: StockState) -> Sequence[Answered]:
    """Reserve units for a line; no event if a line of an order repeats its command."""
    stock, reservation = state.stock, state.reservation
    if reservation is None and not command.order_version:  # the order has already checked its own ids
        refuse_confusable("orderId", command.order_id)
        refuse_confusable("lineId", command.line_id)
    if command.line_id == MANUAL:
        return [_by_hand(command, state)]
    if reservation is not None:
        _refuse_another(command, reservation)
        return []
    reservation = Reservation(command.order_id, command.line_id)
    if not stock.exists:
        return [_rejected(command, stock, reservation, command.quantity, ProductNotFound.code)]
    if stock.discontinued:
        return [_rejected(command, stock, reservation, command.quantity, ProductDiscontinued.code)]
    return _granted(command, stock, reservation)


def _refuse_another(command: ReserveStock, reservation: Reservation) -> None:
    """Raise a Rejection if a manual command requests a different quantity than the line has reserved."""
    asked = reservation.held + reservation.waiting + reservation.shipped + reservation.rejected
    if command.order_version or command.quantity == asked:
        return
    if reservation.order_version:
        raise OrderLineByHand(orderId=reservation.order_id, lineId=reservation.line_id)
    raise ReservationExists(
        orderId=reservation.order_id,
        lineId=reservation.line_id,
        held=reservation.held,
        waiting=reservation.waiting,
        shipped=reservation.shipped,
        rejected=reservation.rejected,
    )


def _by_hand(command: ReserveStock, state: StockState) -> StockReserved:
    """Reserve all requested units or none; a manual reservation never overtakes waiting lines."""
    if not state.stock.exists:
        raise ProductNotFound(productId=state.product_id)
    if state.stock.discontinued:
        raise ProductDiscontinued(productId=state.product_id)
    units, parts = _found(command, state.stock)
    if command.quantity > units:
        raise InsufficientStock(productId=state.product_id, asked=command.quantity, available=units)
    reservation = state.reservation or Reservation(command.order_id, MANUAL)
    return _held(command, state.stock, reservation, units, parts)


def _granted(command: ReserveStock, stock: Stock, reservation: Reservation) -> Sequence[Answered]:
    units, parts = _found(command, stock)
    short = command.quantity - units
    if not short:
        return [_held(command, stock, reservation, units, parts)]
    if not units or command.policy is AllocationPolicy.ALL_OR_NOTHING:
        return [_short(command, stock, reservation, command.quantity)]
    held = _held(command, stock, reservation, units, parts)
    return [held, _short(command, with_balance(stock, held), with_totals(reservation, held), short)]


def _free(stock: Stock) -> int:
    """Return the number of units a new line may have: 0 while other lines wait for them.

    Lines that wait although a location has units wait for units at other locations.
    """
    if stock.locations:
        return free(stock)
    return 0 if stock.balance.backordered else stock.balance.available


def _found(command: ReserveStock, stock: Stock) -> tuple[int, dict[str, int]]:
    """Return how many of the requested units the line gets, and at which locations if the product has locations."""
    units = min(_free(stock), command.quantity)
    if not stock.locations:
        return units, {}
    parts = chosen(stock.locations, command.plan, units)
    return sum(parts.values()), parts


def _held(
    command: ReserveStock, stock: Stock, reservation: Reservation, units: int, parts: dict[str, int]
) -> StockReserved:
    return StockReserved(
        balance=moved(stock.balance, allocated=units),
        locations=shifted(stock.locations, allocated(parts)) if stock.locations else (),
        order_id=reservation.order_id,
        line_id=reservation.line_id,
        quantity=units,
        reserved=reservation.reserved + units,
        backordered=reservation.waiting,
        rejected=reservation.rejected,
        order_version=max(command.order_version, reservation.order_version),
        at=with_units(reservation, parts) if stock.locations else reservation.at,
        plan=command.plan,
        expires_at=command.expires_at,
    )


def _short(
    command: ReserveStock, stock: Stock, reservation: Reservation, units: int
) -> StockBackordered | ReservationRejected:
    full = stock.balance.backordered + units > MAX_MOVED  # the sum of waiting units would exceed what can be counted
    if full or command.policy is not AllocationPolicy.BACKORDER:
        return _rejected(command, stock, reservation, units, InsufficientStock.code)
    return StockBackordered(
        balance=moved(stock.balance, backordered=units),
        locations=stock.locations,
        order_id=reservation.order_id,
        line_id=reservation.line_id,
        quantity=units,
        reserved=reservation.reserved,
        backordered=reservation.waiting + units,
        rejected=reservation.rejected,
        order_version=max(command.order_version, reservation.order_version),
        at=reservation.at,
        plan=command.plan,
        expires_at=command.expires_at,
        place=stock.queue_tail,
    )


def _rejected(
    command: ReserveStock, stock: Stock, reservation: Reservation, units: int, reason: str
) -> ReservationRejected:
    return ReservationRejected(
        balance=stock.balance,
        locations=stock.locations,
        order_id=reservation.order_id,
        line_id=reservation.line_id,
        quantity=units,
        reserved=reservation.reserved,
        backordered=reservation.waiting,
        rejected=reservation.rejected + units,
        order_version=max(command.order_version, reservation.order_version),
        at=reservation.at,
        reason=reason,
    )


def stock_reserved(stock: Stock, event: StockReserved) -> Stock:
    """Return `stock` with units reserved for a line, which may have waited for them."""
    after = with_balance(stock, event)
    if event.place is None:
        return after
    given = stock.given + event.quantity if stock.set_to is not None else stock.given
    return replace(after, queue_head=head_after(after, event, event.place), given=given)


def stock_backordered(stock: Stock, event: StockBackordered) -> Stock:
    """Return `stock` with another line at the end of its queue."""
    return replace(with_balance(stock, event), queue_tail=max(stock.queue_tail, event.place + 1))


def reservation_backordered(reservation: Reservation, event: StockBackordered) -> Reservation:
    """Return `reservation` with units that wait at a place in the queue."""
    return with_totals(reservation, event, place=event.place)


def reservation_rejected(stock: Stock, event: ReservationRejected) -> Stock:
    """Return `stock` after units of a line, which may have waited for them, were refused."""
    after = with_balance(stock, event)
    return after if event.place is None else replace(after, queue_head=head_after(after, event, event.place))
