"""How events change a product's stock and the one reservation they are about."""

from domain.errors import CorruptHistory

from .events import (
    InventoryEvent,
    ProductDiscontinued,
    ProductReactivated,
    ReservationEvent,
    ReservationRejected,
    StockAdjusted,
    StockBackordered,
    StockReceived,
    StockReleased,
    StockReserved,
    StockRestocked,
    StockShipped,
    StockUnshipped,
)
from .state import Reservation, Stock

_CREATING = (StockReceived, StockAdjusted)
_SHIPPING = (StockShipped, StockUnshipped)
_OF_RESERVED = (StockReleased, *_SHIPPING)


def evolve(stock: Stock, event: InventoryEvent) -> Stock:
    """Return `stock` after `event`; CorruptHistory when its balance cannot be."""
    balance = event.balance
    if balance.available < 0 or balance.available != balance.on_hand - balance.allocated or balance.backordered < 0:
        raise CorruptHistory(f"{type(event).__name__} leaves {balance}")
    tail = max(stock.queue_tail, event.place + 1) if isinstance(event, StockBackordered) else stock.queue_tail
    set_to, given = _set(stock, event)
    return Stock(
        exists=stock.exists or isinstance(event, _CREATING),
        discontinued=_discontinued(stock, event),
        balance=balance,
        queue_head=_head(stock, event) if balance.backordered else tail,
        queue_tail=tail,
        set_to=set_to,
        given=given,
    )


def _set(stock: Stock, event: InventoryEvent) -> tuple[int | None, int]:
    """Return what stock was set to, and what waiting lines got of it, after `event`."""
    match event:
        case StockAdjusted(set_to=int(set_to)):
            return set_to, stock.given if stock.set_to == set_to else 0
        case StockReserved(place=int()) if stock.set_to is not None:
            return stock.set_to, stock.given + event.quantity
    if event.balance.on_hand != stock.balance.on_hand:
        return None, 0
    return stock.set_to, stock.given


def _discontinued(stock: Stock, event: InventoryEvent) -> bool:
    match event:
        case ProductDiscontinued():
            return True
        case ProductReactivated():
            return False
    return stock.discontinued


def _head(stock: Stock, event: InventoryEvent) -> int:
    """Return the place before which nobody waits after `event`.

    Fills and rejections of waiting lines go from the head on, so they move it; a release moves it from its own place
    only, and leaves a hole elsewhere.
    """
    match event:
        case StockReserved(place=int(place)) | ReservationRejected(place=int(place)):
            return place if event.backordered else place + 1
        case StockReleased(place=place, backordered=0) if place == stock.queue_head:
            return stock.queue_head + 1
    return stock.queue_head


def evolve_reservation(reservation: Reservation | None, event: ReservationEvent) -> Reservation:
    """Return the line's reservation after `event`."""
    if reservation is None:
        if isinstance(event, _OF_RESERVED):
            raise CorruptHistory(f"{type(event).__name__} of line {event.line_id} before it reserved anything")
        reservation = Reservation(event.order_id, event.line_id)
    shipped = event.shipped if isinstance(event, _SHIPPING) else reservation.shipped
    after = Reservation(
        order_id=reservation.order_id,
        line_id=reservation.line_id,
        held=event.reserved - shipped,
        waiting=event.backordered,
        shipped=shipped,
        rejected=event.rejected,
        received=event.total_received if isinstance(event, StockRestocked) else reservation.received,
        damaged=event.total_damaged if isinstance(event, StockRestocked) else reservation.damaged,
        place=_place(reservation, event) if event.backordered else None,
        order_version=event.order_version,
    )
    if after.held < 0 or (after.waiting and after.place is None):
        raise CorruptHistory(f"{type(event).__name__} leaves {after}")
    return after


def _place(reservation: Reservation, event: ReservationEvent) -> int | None:
    return event.place if isinstance(event, StockBackordered) else reservation.place
