"""Compare the workers' tables with the events, aggregate by aggregate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote

import aiohttp
from msgspec.structs import replace

from domain.inventory import Reservation, Stock
from domain.orders import Order
from domain.orders.state import Shipment
from ops.audit.differences import differences
from ops.audit.history import Aggregate
from ops.http import address
from ops.stack import state
from projections.inventory import ProductView
from projections.orders import OrderView
from projections.reservations import ReservationView
from streams.runtime.settings import Settings
from tables import orders, stock
from tables.orders import OrderEntry
from tables.stock import QueuePlace, StockEntry

Line = tuple[str, str]  # order, line


@dataclass
class Snapshot:
    """An aggregate in a table."""

    version: int = 0
    state: Any = None
    reservations: dict[Line, Reservation] = field(default_factory=dict)
    places: dict[int, Line] = field(default_factory=dict)

    def differs(self, aggregate: Aggregate) -> str | None:
        """Return how it differs from `aggregate` at the same version; None if it does not."""
        found, expected = self._parts(), expected_snapshot(aggregate)._parts()
        return differences(found, expected) if found != expected else None

    def _parts(self) -> dict[str, Any]:
        """Return the compared parts by name."""
        lines = {"/".join(line): reservation for line, reservation in self.reservations.items()}
        return {"state": comparable(self.state), "reservation": lines, "place": self.places}


def comparable(state: Any) -> Any:
    """Return a state without the fields that older releases did not write: their expected values are unknown."""
    match state:
        case Stock():
            return replace(state, set_to=None, given=0)
        case Order():
            return replace(state, shipments=tuple(map(_comparable_shipment, state.shipments)))
    return state


def _comparable_shipment(shipment: Shipment) -> Shipment:
    return replace(shipment, all_allocated=None, lines=tuple(replace(line, latest=0) for line in shipment.lines))


def expected_snapshot(aggregate: Aggregate) -> Snapshot:
    """Return the expected table entry of `aggregate`."""
    if (order := cast(OrderView | None, aggregate.view("orders", aggregate.key))) is not None:
        return Snapshot(aggregate.version, order.order)
    product = cast(ProductView, aggregate.view("inventory", aggregate.key))
    views = cast(dict[str, ReservationView], aggregate.views.get("reservations", {})).values()
    lines = {(view.reservation.order_id, view.reservation.line_id): view.reservation for view in views}
    places = {line.place: at for at, line in lines.items() if line.place is not None}
    return Snapshot(aggregate.version, product.stock, lines, places)


def order_snapshots(entries: Mapping[bytes, bytes]) -> dict[str, Snapshot]:
    """Return the orders in a table's entries."""
    found: dict[str, Snapshot] = {}
    for key, raw in entries.items():
        if not key.startswith(b"/"):
            entry: OrderEntry = orders.CODEC.decode(key, raw)
            found[unquote(key.decode())] = Snapshot(entry.version, entry.state)
    return found


def stock_snapshots(entries: Mapping[bytes, bytes]) -> dict[str, Snapshot]:
    """Return the products in a table's entries, with their reservations and queues."""
    found: dict[str, Snapshot] = {}
    for key, raw in entries.items():
        if key.startswith(b"/"):
            continue
        product, _, rest = key.decode().partition("/")
        snapshot = found.setdefault(unquote(product), Snapshot())
        match stock.CODEC.decode(key, raw):
            case StockEntry(state=state, version=version):
                snapshot.state, snapshot.version = state, version
            case Reservation() as reservation:
                snapshot.reservations[reservation.order_id, reservation.line_id] = reservation
            case QueuePlace(order_id=order_id, line_id=line_id):
                snapshot.places[int(rest.removeprefix("/"))] = order_id, line_id
    return found


SNAPSHOTS = {"orders": order_snapshots, "inventory": stock_snapshots}


class Workers:
    """The web pages of the workers on this machine."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self._session = session
        stack = state.read(settings.data)
        self._host = stack.host if stack else ""
        self._processes = stack.processes if stack else []

    def urls(self, role: str) -> list[str]:
        """Return the URLs of the tables of a role's workers."""
        return [f"{address(self._host, each.port or 0)}/entries" for each in self._processes if each.role == role]

    async def snapshots(self, role: str, partition: int) -> dict[str, Snapshot] | None:
        """Return a partition from the table of the worker that owns it; None if no worker owns it yet."""
        for url in self.urls(role):
            try:
                async with self._session.get(url, params={"partition": partition}) as answer:
                    if answer.status == 200:
                        return SNAPSHOTS[role](dict(map(_entry, (await answer.read()).splitlines())))
            except aiohttp.ClientError:
                continue  # the worker is being restarted
        return None


def _entry(line: bytes) -> tuple[bytes, bytes]:
    """Return key and value of a line; ids and topics in keys contain no quotes."""
    key, _, value = line.removeprefix(b'{"key":"').partition(b'","value":')
    return key, value.removesuffix(b"}")
