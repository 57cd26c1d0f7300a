"""Locations: where a product's units are, and where the units of a line are held or shipped from.

A product that has only ever been at `default` has no figures per location, because `Balance` has them all, and the same
is true of a reservation. So a product with one location costs what it would cost without locations.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from domain.errors import InvalidQuantity, LocationClosed, LocationNotFound
from domain.ids import refuse_confusable
from domain.policy import DEFAULT_LOCATION, MAX_LOCATIONS, AllocationPlan, AllocationStrategy

from .events import At, Balance, Held
from .state import Reservation, Stock

FIRST_FOUND = AllocationPlan(strategy=AllocationStrategy.PRIORITY)


class Moved(NamedTuple):
    """Units added to the figures of a location."""

    on_hand: int = 0
    allocated: int = 0
    damaged: int = 0


def at(stock: Stock, location: str | None) -> At:
    """Return the figures of a location; those of an unknown one are 0."""
    name = location or DEFAULT_LOCATION
    if stock.locations:
        return next((each for each in stock.locations if each.location == name), At(location=name))
    return _all_of(stock.balance) if name == DEFAULT_LOCATION else At(location=name)


def _all_of(balance: Balance) -> At:
    return At(
        location=DEFAULT_LOCATION,
        on_hand=balance.on_hand,
        allocated=balance.allocated,
        available=balance.available,
        damaged=balance.damaged,
    )


def known(stock: Stock, location: str | None) -> bool:
    """Return whether the product has a location."""
    return location in (None, DEFAULT_LOCATION) or any(each.location == location for each in stock.locations)


def refuse_new(stock: Stock, location: str | None) -> None:
    """Raise a Rejection if a new location cannot be added: its id may be confused, or there are too many."""
    if known(stock, location):
        return
    refuse_confusable("location", str(location))
    if len(stock.locations) >= MAX_LOCATIONS:
        raise InvalidQuantity(reason=f"a product has at most {MAX_LOCATIONS} locations")


def refuse_unknown(stock: Stock, location: str | None) -> None:
    """Raise LocationNotFound unless the product has the location."""
    if not known(stock, location):
        raise LocationNotFound(location=location)


def refuse_closed(stock: Stock, location: str | None) -> None:
    """Raise LocationClosed if the location accepts no units."""
    if stock.locations and at(stock, location).closed:
        raise LocationClosed(location=location or DEFAULT_LOCATION)


def after(stock: Stock, location: str | None, moved: Moved) -> tuple[At, ...]:
    """Return the locations of `stock` with units added at one of them."""
    if not stock.locations and location in (None, DEFAULT_LOCATION):
        return ()
    return shifted(stock.locations or (_all_of(stock.balance),), {location or DEFAULT_LOCATION: moved})


def shifted(locations: tuple[At, ...], moves: Mapping[str, Moved]) -> tuple[At, ...]:
    """Return `locations` with units added at some of them; append unknown ones. Without locations, return none."""
    if not locations:
        return ()
    new = [At(location=name) for name in moves if all(each.location != name for each in locations)]
    return tuple(_with(each, moves.get(each.location)) for each in (*locations, *new))


def _with(figures: At, moved: Moved | None) -> At:
    if moved is None:
        return figures
    on_hand, allocated = figures.on_hand + moved.on_hand, figures.allocated + moved.allocated
    return At(
        location=figures.location,
        on_hand=on_hand,
        allocated=allocated,
        available=on_hand - allocated,
        damaged=figures.damaged + moved.damaged,
        closed=figures.closed,
    )


def free(stock: Stock) -> int:
    """Return the units that lines may get: the available ones at open locations."""
    if not stock.locations:
        return stock.balance.available
    return sum([each.available for each in stock.locations if not each.closed])


def has_more_free(before: Stock, available: int, locations: Sequence[At]) -> bool:
    """Return whether lines may get more units than `before`: all that are `available`, or those at open `locations`."""
    if not locations:
        return available > before.balance.available
    return sum([each.available for each in locations if not each.closed]) > free(before)


# --- the units of a line by location


def held_at(reservation: Reservation) -> tuple[Held, ...]:
    """Return the units of a line by location."""
    if reservation.at or not (reservation.held or reservation.shipped):
        return reservation.at
    return (Held(location=DEFAULT_LOCATION, held=reservation.held, shipped=reservation.shipped),)


def with_units(
    reservation: Reservation, held: Mapping[str, int], shipped: Mapping[str, int] | None = None
) -> tuple[Held, ...]:
    """Return the units of a line by location after units were added; empty if all of them are at `default`."""
    shipped = shipped or {}
    if not reservation.at and {*held, *shipped} <= {DEFAULT_LOCATION}:
        return ()
    now = {each.location: each for each in held_at(reservation)}
    for name in (*held, *shipped):
        now.setdefault(name, Held(location=name))
    found = [
        Held(
            location=name,
            held=each.held + held.get(name, 0),
            shipped=each.shipped + shipped.get(name, 0),
        )
        for name, each in now.items()
    ]
    left = tuple(each for each in found if each.held or each.shipped)
    return () if all(each.location == DEFAULT_LOCATION for each in left) else left


def given_up(reservation: Reservation, units: int) -> dict[str, int]:
    """Return the locations at which a line gives up units, beginning with the one it got last."""
    found: dict[str, int] = {}
    for each in reversed(held_at(reservation)):
        if part := min(units, each.held):
            found[each.location], units = part, units - part
    return found


def negated(parts: Mapping[str, int]) -> dict[str, int]:
    """Return the same parts with their signs changed."""
    return {location: -units for location, units in parts.items()}


def allocated(parts: Mapping[str, int]) -> dict[str, Moved]:
    """Return the moves that allocate units at some locations."""
    return {location: Moved(allocated=units) for location, units in parts.items()}


# --- choosing locations


def chosen(
    locations: Sequence[At], plan: AllocationPlan | None, units: int, has: Iterable[Held] = ()
) -> dict[str, int]:
    """Return how many of `units` units a line gets at each location; `has`: the units that it already has.

    The strategies differ only if no location is first in the order and has all units.
    """
    plan = plan or FIRST_FOUND
    order = {name: number for number, name in enumerate(plan.locations)}
    usable = [each for each in locations if not each.closed and each.available > 0]
    usable.sort(key=lambda each: order.get(each.location, len(order)))  # stable: the others in the product's own order
    if plan.strategy is AllocationStrategy.KEEP_TOGETHER:
        here = [each.location for each in has if each.held]
        if here:
            usable = [each for each in usable if each.location in here]
        else:
            usable = sorted(usable, key=lambda each: -min(each.available, units))[:1]
    elif plan.strategy is AllocationStrategy.FEWEST_SHIPMENTS:
        usable.sort(key=lambda each: -min(each.available, units))
    parts: dict[str, int] = {}
    for each in usable:
        if part := min(each.available, units):
            parts[each.location], units = part, units - part
    return parts


def is_kept_together(reservation: Reservation) -> bool:
    """Return whether a line can get units from one location only, and may therefore get fewer than are available."""
    return reservation.plan is not None and reservation.plan.strategy is AllocationStrategy.KEEP_TOGETHER


def is_bound(reservation: Reservation) -> bool:
    """Return whether a line may be unable to use available units: it is kept together with the units it holds."""
    return is_kept_together(reservation) and reservation.held > 0


def reported(reservation: Reservation) -> AllocationPlan | None:
    """Return the plan of a line if its order needs it to choose one location."""
    return reservation.plan if reservation.plan is not None and reservation.plan.one_location else None


def shown(stock: Stock) -> dict[str, Any]:
    """Return the locations of a product, and its units in transit, as answers and documents show them."""
    return {
        "locations": [
            {
                "location": each.location,
                "availableQuantity": each.available,
                "allocatedQuantity": each.allocated,
                "onHandQuantity": each.on_hand,
                "damagedQuantity": each.damaged,
                "open": not each.closed,
            }
            for each in stock.locations
        ],
        "inTransitQuantity": stock.balance.in_transit,
        "transfers": [
            {
                "transferId": each.transfer_id,
                "source": each.source,
                "target": each.target,
                "quantity": each.quantity,
            }
            for each in stock.transfers
        ],
    }
