"""Gathering: an order that asks for one location proposes one that could give all of its lines.

The order makes a proposal when stock has allocated all of its lines, but at several locations. Stock moves each line as
a whole or not at all, and always answers. If a line cannot move, the order proposes another location. If none is left,
the lines that have moved choose by their own plan again. Stock locks nothing meanwhile; only the order itself does not
ship before the answers. An order proposes at most `MAX_PROPOSALS` locations.
"""

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from domain.errors import AllocationPending
from domain.policy import DEFAULT_LOCATION, AllocationPlan

from .events import AllocationRecorded, LocationProposed, ProposedLine
from .locating import allocated_at
from .state import Line, Order, Proposal

MAX_PROPOSALS = 3  # per order; each round of answers may lead to one more


def propose(order: Order) -> list[LocationProposed]:
    """Return the proposal that `order` makes now; none if it needs none, cannot make one, or awaits answers."""
    plan, last = order.allocation, order.proposal
    if plan is None or not plan.one_location or (last is not None and last.asked):
        return []
    if any(line.pending or line.backordered or line.shipped or line.lost for line in order.lines):
        return []
    lines = [(line, sole_location(order, line)) for line in order.lines if line.allocated]
    if len({place for _, place in lines}) <= 1 and all(place for _, place in lines):
        return []
    number = last.number if last is not None else 0
    could = [{*line.could, *([place] if place else ())} for line, place in lines]
    location = common_location(plan, could, [place for _, place in lines]) if number < MAX_PROPOSALS else None
    if location is not None:
        return [_proposed(number, location, [line for line, place in lines if place != location])]
    moved = last.moved if last is not None else ()
    back = [line for line, _ in lines if line.line_id in moved]
    return [_proposed(number, None, back)] if back else []


def sole_location(order: Order, line: Line) -> str | None:
    """Return the location that has all allocated units of a line; None if there are several."""
    places = list(allocated_at(order, line))
    return places[0] if len(places) == 1 else None


def common_location(plan: AllocationPlan, could: Sequence[Collection[str]], places: Sequence[str | None]) -> str | None:
    """Return a location that could give every line: the first in the plan's order, then the one with most lines."""
    order = {name: number for number, name in enumerate(plan.locations)}
    common = set(could[0]).intersection(*could[1:]) if could else set()
    return min(common, key=lambda each: (order.get(each, len(order)), -places.count(each), each), default=None)


def _proposed(number: int, location: str | None, lines: Sequence[Line]) -> LocationProposed:
    named = tuple(ProposedLine(line_id=line.line_id, product_id=line.product_id) for line in lines)
    return LocationProposed(proposal=number + 1, location=location, lines=named)


def location_proposed(order: Order, event: LocationProposed) -> Order:
    """Return `order` with a proposal that no line has answered."""
    before = order.proposal.moved if order.proposal is not None and event.location is not None else ()
    asked = tuple(line.line_id for line in event.lines)
    return replace(order, proposal=Proposal(event.proposal, event.location, asked, before))


def awaits(order: Order, line_id: str, proposal: int) -> bool:
    """Return whether the line's answer to a proposal is outstanding."""
    return order.proposal is not None and order.proposal.number == proposal and order.is_moving(line_id)


def answered(proposal: Proposal, event: AllocationRecorded) -> Proposal:
    """Return `proposal` with the answer of a line, which has moved or not."""
    asked = tuple(each for each in proposal.asked if each != event.line_id)
    places = {each.location for each in event.at} or {DEFAULT_LOCATION}
    has_moved = places == {proposal.location} and event.line_id not in proposal.moved
    moved = (*proposal.moved, event.line_id) if has_moved else proposal.moved
    return replace(proposal, asked=asked, moved=moved)


def refuse_moving(order: Order) -> None:
    """Raise AllocationPending while lines have not answered the proposal: they may move."""
    if order.proposal is not None and order.proposal.asked:
        raise AllocationPending(lines=list(order.proposal.asked))
