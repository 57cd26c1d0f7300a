"""Opening and closing a location of a product: lines get units only from open ones."""

from msgspec.structs import replace

from .commands import CloseLocation, OpenLocation
from .events import LocationClosed, LocationOpened, StockRequeued
from .figures import with_balance
from .locations import Moved, after, at, held_at, known, refuse_new, refuse_unknown
from .requeueing import requeue
from .state import Stock, StockState


def open_location(command: OpenLocation, state: StockState) -> list[LocationOpened]:
    """Open a location, which may be new; no event if it is open."""
    stock = state.stock
    refuse_new(stock, command.location)
    if known(stock, command.location) and not at(stock, command.location).closed:
        return []
    locations = after(stock, command.location, Moved())
    opened = tuple(replace(each, closed=False) if each.location == command.location else each for each in locations)
    return [LocationOpened(balance=stock.balance, locations=opened, location=command.location)]


def close_location(command: CloseLocation, state: StockState) -> list[LocationClosed | StockRequeued]:
    """Close a location and set back the lines it holds units for: other locations serve them, or they wait."""
    stock = state.stock
    refuse_unknown(stock, command.location)
    here = at(stock, command.location)
    if here.closed and not here.allocated:
        return []
    before = stock.locations or (here,)
    closed = tuple(replace(each, closed=True) if each.location == command.location else each for each in before)
    held = sum([each.held for one in state.newest for each in held_at(one) if each.location == command.location])
    event = LocationClosed(
        balance=stock.balance,
        locations=closed,
        location=command.location,
        reason=command.reason,
        unfinished=held < here.allocated,
    )
    after_it = replace(state, stock=with_balance(stock, event))
    return [event, *requeue(after_it, here.allocated, command.location, as_far_as_possible=True)]


def location_changed(stock: Stock, event: LocationOpened | LocationClosed) -> Stock:
    """Return `stock` with a location open or closed."""
    return with_balance(stock, event)
