"""Holding: an order on hold does not ship; it keeps its reservations and can be cancelled."""

from msgspec.structs import replace

from domain.errors import OrderOnHold

from .commands import Hold, Release
from .events import OrderHeld, OrderReleased
from .state import Order


def hold(command: Hold, order: Order) -> list[OrderHeld]:
    """Block shipping; another hold replaces the reason."""
    return [] if order.hold == command.reason else [OrderHeld(reason=command.reason)]


def held(order: Order, event: OrderHeld) -> Order:
    """Return `order` on hold."""
    return replace(order, hold=event.reason)


def release(command: Release, order: Order) -> list[OrderReleased]:
    """Release the order, if it is on hold."""
    return [] if order.hold is None else [OrderReleased()]


def released(order: Order, event: OrderReleased) -> Order:
    """Return `order` without its hold."""
    return replace(order, hold=None)


def refuse_held(order: Order) -> None:
    """Raise OrderOnHold while `order` is on hold."""
    if order.hold is not None:
        raise OrderOnHold(reason=order.hold)
