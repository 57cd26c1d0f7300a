"""Compare order lines with their reservations: they must agree when no message between them is in flight.

Orders and products are on different partitions, so each partition writes down its side of a line as a fact, and facts
with the same id are compared. Lines that differ are folded again, as far as their orders and products are concerned.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from domain.orders.events import OrderPlaced
from domain.policy import MANUAL
from ops.audit.laws import NO_UNITS, line_laws, units_of_line, units_of_reservation
from ops.audit.report import Kind, Report
from projections import orders, reservations
from projections.orders import OrderView
from projections.reservations import ReservationView, reservation_id
from streams.messages.envelope import EventMessage


class Fact(NamedTuple):
    """One side of a line: its units, and the offset from which on its events are found."""

    id: str  # the id of the reservation
    product_id: str
    order_id: str
    line_id: str
    units: list[int]
    pending: int  # more than 0: stock has not answered
    offset: int


def order_facts(view: OrderView, offset: int) -> Iterator[tuple[str, bytes]]:
    """Yield the lines of an order as encoded facts, with the ids of their reservations."""
    for line in view.order.lines:
        identifier = reservation_id(line.product_id, view.id, line.line_id)
        pending = line.pending + view.order.is_moving(line.line_id)
        fact = identifier, line.product_id, view.id, line.line_id, units_of_line(line), pending, offset
        yield identifier, orjson.dumps(fact)


def reservation_facts(views: Mapping[str, ReservationView], began: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """Yield the reservations of a product as encoded facts; manual reservations have no order line."""
    for identifier, view in views.items():
        line = view.reservation
        if line.line_id != MANUAL:
            units, offset = units_of_reservation(line), began[identifier]
            yield identifier, orjson.dumps((identifier, view.product_id, line.order_id, line.line_id, units, 0, offset))


class Pair(NamedTuple):
    """A line that differs from its reservation; one of the facts may be missing."""

    line: Fact | None
    reservation: Fact | None

    @property
    def either(self) -> Fact:
        """The fact that exists."""
        found = self.line or self.reservation
        assert found is not None
        return found


def compared(
    reserved: Iterable[bytes], lines: Iterable[bytes], broken: Collection[str], report: Report
) -> Iterator[Pair]:
    """Yield the lines that differ; those of `broken` orders and products are left out.

    Facts that are the same but for their offsets are compared as bytes, because most are.
    """
    if not broken:
        sides, others = {_but_offset(raw): raw for raw in reserved}, list[bytes]()
        for raw in lines:
            if sides.pop(_but_offset(raw), None) is not None:
                report.checked["lines"] += 1
            else:
                others.append(raw)
        reserved, lines = sides.values(), others
    yield from _differing(reserved, lines, broken, report)


def _but_offset(fact: bytes) -> bytes:
    return fact[: fact.rindex(b",")]


def _differing(
    reserved: Iterable[bytes], lines: Iterable[bytes], broken: Collection[str], report: Report
) -> Iterator[Pair]:
    sides = {(fact := Fact(*orjson.loads(raw))).id: fact for raw in reserved}
    for raw in lines:
        line = Fact(*orjson.loads(raw))
        if line.product_id in broken:
            continue
        report.checked["lines"] += 1
        reservation = sides.pop(line.id, None)
        units = reservation.units if reservation is not None else NO_UNITS
        if line.units != units or line.pending:
            yield Pair(line, reservation)
    for rest in sides.values():
        if rest.units != NO_UNITS and rest.order_id not in broken:
            yield Pair(None, rest)


@dataclass(slots=True)
class Differing:
    """A line and its reservation that differ; `seen`: their versions when they were last compared."""

    id: str
    product_id: str
    order_id: str
    line_id: str
    order: OrderView | None = None
    reservation: ReservationView | None = None
    seen: tuple[int, int] = (0, 0)

    @property
    def versions(self) -> tuple[int, int]:
        """The version of the order, and the version of the product that last changed the reservation."""
        return self.order.version if self.order else 0, self.reservation.version if self.reservation else 0

    def broken(self) -> list[str]:
        """Return how they differ."""
        line = self.order.order.line(self.line_id) if self.order else None
        moving = self.order is not None and self.order.order.is_moving(self.line_id)
        return list(line_laws(line, self.reservation.reservation if self.reservation else None, moving))


@dataclass
class Lines:
    """The lines that differ from their reservations; they are compared again when they have settled."""

    report: Report
    differing: dict[str, Differing] = field(default_factory=dict)
    _by_order: dict[str, list[Differing]] = field(default_factory=dict)
    _products: set[str] = field(default_factory=set)

    def add(self, pair: Pair) -> None:
        """Add a line; apply all events of its order and its product from the offsets of the facts on."""
        fact = pair.either
        found = Differing(fact.id, fact.product_id, fact.order_id, fact.line_id)
        self.differing[fact.id] = found
        self._by_order.setdefault(fact.order_id, []).append(found)
        self._products.add(fact.product_id)

    def wants(self, key: str) -> bool:
        """Return whether events of the order or product `key` may be about a line that differs."""
        return key in self._by_order or key in self._products

    def apply(self, message: EventMessage) -> None:
        """Apply an event to the lines that it is about."""
        identifier = reservations.key(message)
        if identifier is not None:
            if pair := self.differing.get(identifier):
                pair.reservation = reservations.fold(pair.reservation, message)
        else:
            for pair in self._by_order.get(message.key, ()):
                if pair.order is not None or isinstance(message.event, OrderPlaced):
                    pair.order = orders.fold(pair.order, message)

    def look(self) -> None:
        """Remember the versions that the lines have now."""
        for pair in self.differing.values():
            pair.seen = pair.versions

    def judge(self) -> None:
        """Drop lines that agree now; report lines that have not changed since they were last compared."""
        for pair in list(self.differing.values()):
            broken = pair.broken()
            if broken and pair.versions != pair.seen:
                pair.seen = pair.versions
                continue
            for what in broken:
                self.report.drift(Kind.LINE, "orders, reservations", pair.id, what)
            del self.differing[pair.id]

    def give_up(self) -> None:
        """Count the lines that still change as in flight."""
        self.report.in_flight["lines"] += len(self.differing)
        self.differing.clear()
