"""Holding: an order does not ship while it has holds; it keeps its reservations and can be cancelled."""

from msgspec.structs import replace

from domain.errors import CorruptHistory, OrderOnHold, SeveralHolds
from domain.ids import refuse_confusable

from .commands import Hold, Release, hold_id_of
from .events import OrderHeld, OrderReleased
from .room import refuse_more_holds
from .state import Held, Order


def hold(command: Hold, order: Order) -> list[OrderHeld]:
    """Block shipping by one more hold, or change the hold that the command names."""
    hold_id, holds = command.hold_id or hold_id_of(command.reason), order.holds
    if Held(hold_id, command.reason, command.until, command.when_over) in holds:
        return []
    before = next((each for each in holds if each.hold_id == hold_id), None)
    if before is None:
        refuse_confusable("holdId", hold_id)
    if before is None or len(command.reason.encode()) > len(before.reason.encode()):
        refuse_more_holds(order)
    return [OrderHeld(reason=command.reason, hold_id=hold_id, until=command.until, when_over=command.when_over)]


def held(order: Order, event: OrderHeld) -> Order:
    """Return `order` with a hold; one without an id replaces another without an id."""
    if event.hold_id is None and not order.held:
        return replace(order, hold=event.reason)
    hold = Held(event.hold_id or hold_id_of(event.reason), event.reason, event.until, event.when_over)
    return _with_holds(order, (*_without(order, hold.hold_id), hold))


def release(command: Release, order: Order) -> list[OrderReleased]:
    """End the hold that the command names, or the only one."""
    holds = order.holds
    if command.hold_id is None and len(holds) > 1:
        raise SeveralHolds(holds=[{"holdId": each.hold_id, "reason": each.reason} for each in holds])
    return [OrderReleased(hold_id=each.hold_id) for each in holds if command.hold_id in (None, each.hold_id)]


def released(order: Order, event: OrderReleased) -> Order:
    """Return `order` without a hold; an event without an id ends the newest one, because older code knew only one."""
    if event.hold_id is None:
        return _with_holds(order, order.holds[:-1])
    left = _without(order, event.hold_id)
    if len(left) == len(order.holds):
        raise CorruptHistory(f"no hold {event.hold_id}")
    return _with_holds(order, left)


def refuse_held(order: Order) -> None:
    """Raise OrderOnHold while `order` is on hold, with the reason of the newest hold."""
    if order.on_hold:
        raise OrderOnHold(reason=order.holds[-1].reason)


def _with_holds(order: Order, held: tuple[Held, ...]) -> Order:
    return replace(order, hold=held[-1].reason if held else None, held=held)


def _without(order: Order, hold_id: str) -> tuple[Held, ...]:
    return tuple(each for each in order.holds if each.hold_id != hold_id)
