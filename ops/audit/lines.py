"""Compare order lines with their reservations: they must agree when no message between them is in flight."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from domain.orders.events import OrderPlaced
from domain.policy import MANUAL
from ops.audit.history import Aggregate
from ops.audit.laws import line_laws
from ops.audit.report import Kind, Report
from projections import orders, reservations
from projections.orders import OrderView
from projections.reservations import ReservationView, reservation_id
from streams.messages.envelope import EventMessage


@dataclass(slots=True)
class Pair:
    """A line and its reservation that differ; `seen`: their versions when they were last compared."""

    id: str
    product_id: str
    order_id: str
    line_id: str
    order: OrderView | None
    reservation: ReservationView | None
    seen: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.seen = self.versions

    @property
    def versions(self) -> tuple[int, int]:
        """The version of the order, and the version of the product that last changed the reservation."""
        return self.order.version if self.order else 0, self.reservation.version if self.reservation else 0

    def broken(self) -> list[str]:
        """Return how they differ."""
        line = self.order.order.line(self.line_id) if self.order else None
        return list(line_laws(line, self.reservation.reservation if self.reservation else None))


@dataclass
class Lines:
    """All reservations and the lines of all orders; pairs that differ are compared again when they have settled."""

    report: Report
    reservations: dict[str, ReservationView] = field(default_factory=dict)
    differing: dict[str, Pair] = field(default_factory=dict)
    _by_order: dict[str, list[Pair]] = field(default_factory=dict)
    _products: set[str] = field(default_factory=set)
    _broken: set[str] = field(default_factory=set)  # orders and products whose events have a gap or do not apply

    def add_products(self, aggregates: Iterable[Aggregate]) -> None:
        """Add the reservations of products; all must be added before the first order."""
        for product in aggregates:
            if product.broken:
                self._broken.add(product.key)
            else:
                self.reservations.update(cast(dict[str, ReservationView], product.views.get("reservations", {})))

    def add_orders(self, aggregates: Iterable[Aggregate]) -> None:
        """Compare the lines of orders with their reservations."""
        for order in aggregates:
            if order.broken:
                self._broken.add(order.key)
            else:
                self._add_order(cast(OrderView, order.view("orders", order.key)))

    def _add_order(self, view: OrderView) -> None:
        for line in view.order.lines:
            identifier = reservation_id(line.product_id, view.id, line.line_id)
            if line.product_id in self._broken:
                continue
            self.report.checked["lines"] += 1
            reservation = self.reservations.pop(identifier, None)
            self._judge(Pair(identifier, line.product_id, view.id, line.line_id, view, reservation))

    def add_rest(self) -> None:
        """Compare the reservations without an order line; manual reservations need none."""
        for identifier, view in self.reservations.items():
            line = view.reservation
            if line.line_id != MANUAL and line.order_id not in self._broken:
                self._judge(Pair(identifier, view.product_id, line.order_id, line.line_id, None, view))
        self.reservations.clear()

    def _judge(self, pair: Pair) -> None:
        if pair.broken():
            self.differing[pair.id] = pair
            self._by_order.setdefault(pair.order_id, []).append(pair)
            self._products.add(pair.product_id)

    # --- pairs that had time to settle

    def wants(self, key: str) -> bool:
        """Return whether events of the order or product `key` may be about a pair that differs."""
        return key in self._by_order or key in self._products

    def apply(self, message: EventMessage) -> None:
        """Apply an event to the pairs that it is about."""
        identifier = reservations.key(message)
        if identifier is not None:
            if pair := self.differing.get(identifier):
                pair.reservation = reservations.fold(pair.reservation, message)
        else:
            for pair in self._by_order.get(message.key, ()):
                if pair.order is not None or isinstance(message.event, OrderPlaced):
                    pair.order = orders.fold(pair.order, message)

    def judge(self) -> None:
        """Drop pairs that agree now; report pairs that have not changed since they were last compared."""
        for pair in list(self.differing.values()):
            broken = pair.broken()
            if broken and pair.versions != pair.seen:
                pair.seen = pair.versions
                continue
            for what in broken:
                self.report.drift(Kind.LINE, "orders, reservations", pair.id, what)
            del self.differing[pair.id]

    def give_up(self) -> None:
        """Count the pairs that still change as in flight."""
        self.report.in_flight["lines"] += len(self.differing)
        self.differing.clear()
