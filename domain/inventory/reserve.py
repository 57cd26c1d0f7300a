"""Reservations: made for order lines and by people, and given up."""

from domain.errors import (
    InsufficientStock,
    InvalidQuantity,
    OrderLineByHand,
    ProductDiscontinued,
    ProductNotFound,
    ReservationExists,
)
from domain.ids import refuse_confusable
from domain.message import MAX_MOVED
from domain.policy import MANUAL, AllocationPolicy

from .book import is_stale, moved, totals
from .commands import ReleaseStock, ReserveStock
from .events import Balance, InventoryEvent, ReservationRejected, StockBackordered, StockReleased, StockReserved
from .evolve import evolve_reservation
from .state import Reservation, Reservations, Stock


def reserve(command: ReserveStock, stock: Stock, reservations: Reservations, product_id: str) -> list[InventoryEvent]:
    """Hold units for a line; what is short waits or is rejected, as its policy says. Asked twice it is quiet."""
    line = reservations.get(command.order_id, command.line_id)
    if line is None and not command.order_version:  # of an order, these were new before
        refuse_confusable("orderId", command.order_id)
        refuse_confusable("lineId", command.line_id)
    if command.line_id == MANUAL:
        return [_by_hand(command, stock, line, product_id)]
    if line is not None:
        _refuse_another(command, line)
        return []
    line = Reservation(command.order_id, command.line_id)
    if not stock.exists:
        return [_rejected(command, stock.balance, line, command.quantity, ProductNotFound.code)]
    if stock.discontinued:
        return [_rejected(command, stock.balance, line, command.quantity, ProductDiscontinued.code)]
    return _granted(command, stock, line)


def _refuse_another(command: ReserveStock, line: Reservation) -> None:
    """Raise ReservationExists if a command by hand asks for another quantity than the line already has."""
    asked = line.held + line.waiting + line.shipped + line.rejected
    if command.order_version or command.quantity == asked:
        return
    if line.order_version:
        raise OrderLineByHand(orderId=line.order_id, lineId=line.line_id)
    raise ReservationExists(
        orderId=line.order_id,
        lineId=line.line_id,
        held=line.held,
        waiting=line.waiting,
        shipped=line.shipped,
        rejected=line.rejected,
    )


def _by_hand(command: ReserveStock, stock: Stock, line: Reservation | None, product_id: str) -> StockReserved:
    """People get all they ask for or a rejection, and never overtake those who wait."""
    if not stock.exists:
        raise ProductNotFound(productId=product_id)
    if stock.discontinued:
        raise ProductDiscontinued(productId=product_id)
    free = _free(stock.balance)
    if command.quantity > free:
        raise InsufficientStock(productId=product_id, asked=command.quantity, available=free)
    return _held(command, stock.balance, line or Reservation(command.order_id, command.line_id), command.quantity)


def _granted(command: ReserveStock, stock: Stock, line: Reservation) -> list[InventoryEvent]:
    units = min(_free(stock.balance), command.quantity)
    if command.policy is AllocationPolicy.ALL_OR_NOTHING and units < command.quantity:
        units = 0
    events: list[InventoryEvent] = []
    balance = stock.balance
    if units:
        events.append(held := _held(command, balance, line, units))
        balance = held.balance
    if short := command.quantity - units:
        line = evolve_reservation(line, held) if units else line
        events.append(_short(command, stock, balance, line, short))
    return events


def _free(balance: Balance) -> int:
    """Return what a newcomer may have: nothing while others wait."""
    return 0 if balance.backordered else balance.available


def _held(command: ReserveStock, balance: Balance, line: Reservation, units: int) -> StockReserved:
    after = totals(line, held=units, version=command.order_version)
    return StockReserved(balance=moved(balance, allocated=units), quantity=units, **after)


def _short(
    command: ReserveStock, stock: Stock, balance: Balance, line: Reservation, units: int
) -> StockBackordered | ReservationRejected:
    full = balance.backordered + units > MAX_MOVED  # the number of waiting units could no longer be counted
    if full or command.policy is not AllocationPolicy.BACKORDER:
        return _rejected(command, balance, line, units, InsufficientStock.code)
    after = totals(line, waiting=units, version=command.order_version)
    return StockBackordered(balance=moved(balance, backordered=units), quantity=units, place=stock.queue_tail, **after)


def _rejected(
    command: ReserveStock, balance: Balance, line: Reservation, units: int, reason: str
) -> ReservationRejected:
    after = totals(line, rejected=units, version=command.order_version)
    return ReservationRejected(balance=balance, quantity=units, reason=reason, **after)


def release(command: ReleaseStock, stock: Stock, reservations: Reservations, product_id: str) -> list[InventoryEvent]:
    """Give up what a line has beyond `keep`, waiting units first, or `quantity` of what it holds."""
    line = reservations.get(command.order_id, command.line_id)
    if command.quantity is not None:
        held = line.held if line else 0
        if line is None or command.quantity > held:
            raise InvalidQuantity(reason=f"{command.quantity} units to give back, {held} held")
        return [_released(command, stock.balance, line, command.quantity, 0)]
    if line is None or is_stale(command.order_version, line):
        return []
    surplus = line.held + line.waiting - (command.keep or 0)
    if surplus <= 0:
        return []
    unqueued = min(surplus, line.waiting)
    return [_released(command, stock.balance, line, surplus - unqueued, unqueued)]


def _released(command: ReleaseStock, balance: Balance, line: Reservation, units: int, unqueued: int) -> StockReleased:
    after = totals(line, held=-units, waiting=-unqueued, version=command.order_version)
    balance = moved(balance, allocated=-units, backordered=-unqueued)
    place = line.place if unqueued else None
    return StockReleased(balance=balance, quantity=units, unqueued=unqueued, place=place, **after)
