"""Compare the workers' tables with the events, aggregate by aggregate."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote, unquote_to_bytes

import aiohttp
import msgspec
from msgspec import MsgspecError, Raw, Struct
from msgspec.structs import replace

from domain.inventory import Reservation, Stock
from domain.orders import Order
from domain.orders.deadlines import next_deadline
from domain.orders.state import Shipment
from ops.audit.differences import differences
from ops.audit.groups import Entry
from ops.audit.history import Aggregate
from ops.http import address
from ops.stack import state
from projections.inventory import ProductView
from projections.orders import OrderView
from projections.reservations import ReservationView
from streams.keys import segment
from streams.runtime.settings import Settings
from tables import orders, stock
from tables.entries import Recent
from tables.orders import ArchivedEntry, OrderEntry
from tables.stock import QueuePlace, StockEntry
from tables.timers import PREFIX as TIMERS
from tables.timers import entry_of, timer_key

Line = tuple[str, str]  # order, line
CHUNK_BYTES = 1 << 20
ARCHIVED = "archived"  # in place of the state of an order whose entry has none
PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)  # a large table takes long as a whole


@dataclass
class Snapshot:
    """An aggregate in a table."""

    version: int = 0
    state: Any = None
    reservations: dict[Line, Reservation] = field(default_factory=dict)
    places: dict[int, Line] = field(default_factory=dict)
    timers: set[str] = field(default_factory=set)  # their keys

    def differs(self, aggregate: Aggregate) -> str | None:
        """Return how it differs from `aggregate` at the same version; None if it does not."""
        if self == (other := expected_snapshot(aggregate)):
            return None
        found, expected = self._parts(), other._parts()
        return differences(found, expected) if found != expected else None

    def _parts(self) -> dict[str, Any]:
        """Return the compared parts by name."""
        lines = {"/".join(line): comparable(reservation) for line, reservation in self.reservations.items()}
        timers = dict.fromkeys(self.timers, "set")
        return {"state": comparable(self.state), "reservation": lines, "place": self.places, "timer": timers}


class _Main(Struct, gc=False):
    """The entry of an order or a product, with its state still encoded."""

    state: Raw
    version: int
    recent: Recent = ()
    time: str = ""


_decode_main = msgspec.json.Decoder(_Main).decode


def is_encoded_as(entries: Mapping[bytes, bytes], aggregate: Aggregate) -> bool:
    """Return whether entries have the bytes that are written today for `aggregate`, which is faster than decoding them.

    Entries with other bytes, archived orders, and those with deadlines must be compared as snapshots.
    """
    name, others = segment(aggregate.key), dict[bytes, bytes]()
    if (order := cast(OrderView | None, aggregate.view("orders", aggregate.key))) is not None:
        state: Any = order.order
        if order.archived_at is not None or next_deadline(state) is not None:
            return False
    else:
        state = cast(ProductView, aggregate.view("inventory", aggregate.key)).stock
        for view in cast(dict[str, ReservationView], aggregate.views.get("reservations", {})).values():
            line = view.reservation
            if line.due is not None:
                return False
            others[b"%b/%b/%b" % (name, segment(line.order_id), segment(line.line_id))] = stock.CODEC.encode(line)
            if line.place is not None:
                place = QueuePlace(line.order_id, line.line_id)
                others[b"%b//%d" % (name, line.place)] = stock.CODEC.encode(place)
    raw = entries.get(name)
    if raw is None or entries != others | {name: raw}:
        return False
    try:
        main = _decode_main(raw)
    except MsgspecError:
        return False
    return main.version == aggregate.version and bytes(main.state) == msgspec.json.encode(state)


def comparable(state: Any) -> Any:
    """Return a state without the fields that older releases did not write: their expected values are unknown."""
    match state:
        case Stock():
            return replace(state, set_to=None, given=0)
        case Reservation():
            return replace(state, since=0)
        case Order():
            return replace(state, shipments=tuple(map(_comparable_shipment, state.shipments)))
    return state


def _comparable_shipment(shipment: Shipment) -> Shipment:
    lines = tuple(replace(line, latest=0) for line in shipment.lines)
    return replace(shipment, all_allocated=None, rest=None, lines=lines)


def expected_snapshot(aggregate: Aggregate) -> Snapshot:
    """Return the expected table entry of `aggregate`."""
    if (order := cast(OrderView | None, aggregate.view("orders", aggregate.key))) is not None:
        if order.archived_at is not None:
            return Snapshot(aggregate.version, ARCHIVED)
        return Snapshot(
            aggregate.version, order.order, timers=_timer(segment(aggregate.key), next_deadline(order.order))
        )
    product = cast(ProductView, aggregate.view("inventory", aggregate.key))
    views = cast(dict[str, ReservationView], aggregate.views.get("reservations", {})).values()
    lines = {(view.reservation.order_id, view.reservation.line_id): view.reservation for view in views}
    places = {line.place: at for at, line in lines.items() if line.place is not None}
    name = segment(aggregate.key)
    timers = {
        key
        for line in lines.values()
        for key in _timer(b"%b/%b/%b" % (name, segment(line.order_id), segment(line.line_id)), line.due)
    }
    return Snapshot(aggregate.version, product.stock, lines, places, timers)


def _timer(entry: bytes, due: str | None) -> set[str]:
    """Return the keys of the timers of an entry with a deadline."""
    return set() if due is None else {timer_key(due, entry).decode()}


def owner_of(role: str, key: bytes) -> bytes | None:
    """Return the id of the aggregate that an entry of a role's table belongs to; None for positions and letters."""
    if key.startswith(TIMERS):
        key = entry_of(key)
    if key.startswith(b"/"):
        return None
    name = key if role == "orders" else key.partition(b"/")[0]
    return unquote_to_bytes(name) if b"%" in name else name


def order_snapshots(entries: Iterable[Entry]) -> dict[str, Snapshot]:
    """Return the orders in entries."""
    found: dict[str, Snapshot] = {}
    for key, raw in entries:
        is_timer = key.startswith(TIMERS)
        snapshot = found.setdefault(unquote((entry_of(key) if is_timer else key).decode()), Snapshot())
        if is_timer:
            snapshot.timers.add(key.decode())
        else:
            entry: OrderEntry | ArchivedEntry = orders.CODEC.decode(key, raw)
            snapshot.version = entry.version
            snapshot.state = ARCHIVED if isinstance(entry, ArchivedEntry) else entry.state
    return found


def stock_snapshots(entries: Iterable[Entry]) -> dict[str, Snapshot]:
    """Return the products in entries, with their reservations and queues."""
    found: dict[str, Snapshot] = {}
    for key, raw in entries:
        is_timer = key.startswith(TIMERS)
        product, _, rest = (entry_of(key) if is_timer else key).decode().partition("/")
        snapshot = found.setdefault(unquote(product), Snapshot())
        if is_timer:
            snapshot.timers.add(key.decode())
            continue
        match stock.CODEC.decode(key, raw):
            case StockEntry(state=state, version=version):
                snapshot.state, snapshot.version = state, version
            case Reservation() as reservation:
                snapshot.reservations[reservation.order_id, reservation.line_id] = reservation
            case QueuePlace(order_id=order_id, line_id=line_id):
                snapshot.places[int(rest.removeprefix("/"))] = order_id, line_id
    return found


SNAPSHOTS = {"orders": order_snapshots, "inventory": stock_snapshots}


class NotServed(Exception):
    """No worker serves the partition now."""


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

    async def entries(self, role: str, partition: int) -> AsyncIterator[list[Entry]]:
        """Yield a partition's entries from the worker that owns it; `NotServed` if none does, or if it stops."""
        for url in self.urls(role):
            begun = False
            try:
                async with self._session.get(url, params={"partition": partition}, timeout=PATIENCE) as answer:
                    if answer.status == 200:
                        async for lines in _lines(answer.content):
                            begun = True
                            yield list(map(_entry, lines))
                        return
            except (aiohttp.ClientError, TimeoutError) as error:  # the worker is being restarted
                if begun:
                    raise NotServed from error
        raise NotServed


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[list[bytes]]:
    """Yield whole lines, some at a time."""
    rest = b""
    async for chunk in content.iter_chunked(CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield lines
    if rest:
        raise NotServed  # the answer was cut off


def _entry(line: bytes) -> tuple[bytes, bytes]:
    """Return key and value of a line; ids and topics in keys contain no quotes."""
    key, _, value = line.removeprefix(b'{"key":"').partition(b'","value":')
    return key, value.removesuffix(b"}")
