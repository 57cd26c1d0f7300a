"""Read models in the shapes of older code: kept up to date and readable until no installation has them.

Shape 1 of `orders`: the document repeats as fields everything its JSON contains. The entries of `order_events`, and of
`stock_ledger` in shape 1 of `inventory`, have the ids of their events as `_id` and the events' data as fields. The
oldest code gave the same id to several events: aggregate and sequence are appended to the `_id`s of all but the first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domain.inventory.events import StockEvent
from projections import order_events, stock_ledger
from projections.document import Document, public
from projections.orders import OrderView, shown_of, slim
from projections.projection import Log, Record
from streams.messages.codec import EVENTS, UPCASTERS
from streams.messages.envelope import EventMessage
from streams.messages.tolerant import known


def order_document(view: OrderView) -> Document:
    """Return the document of an order in shape 1."""
    shown = shown_of(view)
    return {**shown, **slim(view, shown), "hold": shown["hold"], "_pickableSince": view.pickable_since}


def _by_event_id(
    answer: Callable[[EventMessage], Document], derived: str
) -> Callable[[EventMessage, Record], Document]:
    """Return the stored fields of an entry; the field `derived` is added when it is shown."""

    def entry(message: EventMessage, _: Record) -> Document:
        shown = answer(message)
        del shown[derived]
        return {"_id": shown.pop("id"), **shown}

    return entry


@dataclass(frozen=True, eq=False)
class ByEventId:
    """The history in a log whose entries have the ids of their events."""

    of: str
    message_of: Callable[[Document], EventMessage]
    shown: Callable[[Document], Document]
    order: str = "sequence"

    def between(self, aggregate_id: str, first: int = 1, last: int | None = None) -> Document:
        """Return the query for the entries of an aggregate, from one sequence to another, both inclusive."""
        upto = {} if last is None else {"$lte": last}
        return {self.of: aggregate_id, **({"sequence": {"$gte": first, **upto}} if upto or first > 1 else {})}


def upcast(entry: Document) -> Document:
    """Return an entry of `order_events` as it would be written today; the stored entry does not change."""
    name, version = entry["type"], entry["schemaVersion"]
    today = EVENTS[name].schema_version
    if version >= today:
        return entry
    return {**entry, "data": UPCASTERS.upcast(name, version, entry["data"]), "schemaVersion": today}


def _order_event(entry: Document) -> EventMessage:
    entry = upcast(entry)
    return _message(
        entry, entry["source"], entry["orderId"], entry["causationId"], EVENTS[entry["type"]], entry["data"]
    )


def _movement(entry: Document) -> EventMessage:
    """Return the product's part of a ledger entry: only the balance, if the event is about a reservation."""
    whole = {each.__name__: each for each in (*stock_ledger.CREATED, *stock_ledger.TURNED)}
    kind = whole.get(entry["type"], StockEvent)
    return _message(entry, "inventory", entry["productId"], entry["commandId"], kind, entry)


def _message(entry: Document, source: str, key: str, command_id: str, kind: Any, data: Document) -> EventMessage:
    return EventMessage(
        id=entry["_id"],
        key=key,
        event=known(data, kind),
        sequence=entry["sequence"],
        time=entry["time"],
        source=source,
        correlation_id=entry["correlationId"],
        causation_id=command_id,
        producer_time=entry.get("producerTime"),
    )


def _order_event_shown(entry: Document) -> Document:
    return public({**upcast(entry), "commandId": entry["causationId"]})


def _movement_shown(entry: Document) -> Document:
    return public({**entry, "causationId": entry["commandId"]})


ORDER_EVENTS = Log(
    _by_event_id(order_events.shown, "commandId"),
    history=ByEventId("orderId", _order_event, _order_event_shown),
    namesakes=True,
    today=upcast,
    sorts=order_events.LOG.sorts,
)
STOCK_LEDGER = Log(
    _by_event_id(stock_ledger.shown, "causationId"),
    history=ByEventId("productId", _movement, _movement_shown),
    namesakes=True,
    sorts=stock_ledger.LOG.sorts,
)
