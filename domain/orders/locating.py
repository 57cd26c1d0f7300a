"""Locating: how many units of a line are allocated where, and from which location a shipment leaves.

Stock says how many units it granted at each location, shipped ones included. The shipments say how many left from it.
"""

from collections.abc import Iterable
from itertools import count

from domain.errors import NotAllocated, SeveralLocations
from domain.policy import DEFAULT_LOCATION

from .commands import derived_id
from .state import Line, Order
from .status import ShipmentStatus

Asked = list[tuple[Line, int]]  # units of lines to ship


def allocated_at(order: Order, line: Line) -> dict[str, int]:
    """Return the allocated units of a line by location, as far as stock and the order know of each other."""
    if not line.at or not line.allocated:
        return {DEFAULT_LOCATION: line.allocated} if line.allocated else {}
    found, left = dict[str, int](), line.allocated
    for each in line.at:
        units = min(max(each.quantity - _shipped_from(order, line, each.location), 0), left)
        if units:
            found[each.location], left = units, left - units
    if left:  # stock does not know of a shipment yet, or the order of a move
        location = line.at[0].location
        found[location] = found.get(location, 0) + left
    return found


def _shipped_from(order: Order, line: Line, location: str) -> int:
    return sum(
        part.quantity
        for shipment in order.shipments
        if shipment.status is not ShipmentStatus.CANCELLED and (shipment.location or DEFAULT_LOCATION) == location
        for part in shipment.lines
        if part.line_id == line.line_id
    )


def location_of(order: Order, lines: Asked, asked: str | None) -> str | None:
    """Return the location that a shipment of `lines` leaves from, None for `default`.

    A location without the units is refused. Without a location in the command, it is the first one that has all units.
    """
    if asked in (None, DEFAULT_LOCATION) and not any(line.at for line, _ in lines):
        return None
    places = [(line, units, allocated_at(order, line)) for line, units in lines]
    if asked is None:
        names = list(dict.fromkeys(name for _, _, at in places for name in at))
        fitting = (each for each in names if all(at.get(each, 0) >= units for _, units, at in places))
        if (found := next(fitting, None)) is None:
            raise SeveralLocations(locations=names)
        return None if found == DEFAULT_LOCATION else found
    for line, units, at in places:
        if units > at.get(asked, 0):
            raise NotAllocated(lineId=line.line_id, asked=units, allocated=at.get(asked, 0))
    return None if asked == DEFAULT_LOCATION else asked


def all_at(order: Order, location: str) -> Asked:
    """Return all units that are allocated at a location."""
    lines = [(line, allocated_at(order, line).get(location, 0)) for line in order.lines]
    return [(line, units) for line, units in lines if units]


def locations_of(order: Order) -> list[str]:
    """Return the locations at which units are allocated."""
    return list(dict.fromkeys(name for line in order.lines for name in allocated_at(order, line)))


def shipment_ids(shipment_id: str) -> Iterable[str]:
    """Yield the ids of shipments that one command creates: the given one, then ids that are derived from it."""
    yield shipment_id
    for number in count(2):
        yield derived_id(f"shipment/{shipment_id}/{number}")
