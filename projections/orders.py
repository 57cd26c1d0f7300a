"""The `orders` read model: one whole document per order, folded by the domain's own `evolve`.

`OrderView` is folded; `document_of` and `view_of` are inverse functions, so that a fold continues from stored
documents. The other read models of orders are derived from `whole` documents.
"""

from typing import NamedTuple, cast

import orjson

from domain.orders import Order, OrderEvent, evolve_order
from domain.orders.events import OrderArchived
from domain.orders.locating import locations_of
from domain.policy import DEFAULT_LOCATION, AllocationPolicy
from projections.document import Document
from projections.order_shape import order_of, render
from streams.messages.envelope import EventMessage


class OrderView(NamedTuple):
    """An order at `version`.

    `pickable_since`: since when the warehouse can pick it; `archived_at`: since when it is archived.
    """

    id: str
    order: Order
    version: int
    created_at: str
    updated_at: str
    pickable_since: str | None = None
    archived_at: str | None = None


def fold(view: OrderView | None, message: EventMessage) -> OrderView:
    """Return the order after `message`."""
    order, time = evolve_order(view.order if view else None, cast(OrderEvent, message.event)), message.time
    if view is not None and type(message.event) is OrderArchived:  # the order itself has not changed
        return view._replace(order=order, version=message.sequence, archived_at=time)
    since = (view.pickable_since or time if view else time) if pickable(order) else None
    return OrderView(message.key, order, message.sequence, view.created_at if view else time, time, since)


def project(document: Document | None, message: EventMessage) -> Document:
    """Return the `orders` document after `message`."""
    return document_of(fold(view_of(document) if document else None, message))


def pickable(order: Order) -> bool:
    """Return whether the warehouse can pick anything of `order` now; ALL_OR_NOTHING waits for every line."""
    if order.on_hold:
        return False
    allocated = pending = 0
    for line in order.lines:  # one loop, because this runs for every event
        allocated += line.allocated
        pending += line.pending
    return allocated > 0 and (pending == 0 or order.policy is not AllocationPolicy.ALL_OR_NOTHING)


def _places(order: Order) -> list[str]:
    """Return the locations that the warehouse picks the order at; empty if it has units at `default` only."""
    for line in order.lines:  # faster than `any`, because this runs for every event
        if line.at:
            places = locations_of(order)
            return [] if places == [DEFAULT_LOCATION] else places
    return []


def is_late(order: Order) -> bool:
    """Return whether units have not shipped although the time by which they must has passed."""
    return order.late and order.total("unshipped") > 0


def kinds_of(view: OrderView) -> list[str]:
    """Return the kinds of orders among which `view` is counted."""
    kinds = [f"status/{view.order.status._value_}"]
    if (allocation := view.order.allocation_status) is not None:
        kinds.append(f"allocationStatus/{allocation._value_}")
    if view.pickable_since is not None:
        kinds.append("pickable")
    if view.order.on_hold:
        kinds.append("onHold")
    if is_late(view.order):
        kinds.append("late")
    if view.archived_at is not None:
        kinds.append("archived")
    return kinds


def shown_of(view: OrderView) -> Document:
    """Return `view` as the API shows it."""
    shown = render(view.id, view.order, view.version, view.created_at, view.updated_at)
    return shown if view.archived_at is None else {**shown, "archivedAt": view.archived_at}


def document_of(view: OrderView) -> Document:
    """Return the document of `view`: the queried fields, its JSON, and other fields the fold needs."""
    return slim(view, shown_of(view))


def slim(view: OrderView, shown: Document) -> Document:
    """Return the document of `view`, with `shown` as its JSON; partial indexes need missing fields left out."""
    document = {
        "_id": view.id,
        "sequence": view.version,
        "customerId": shown["customerId"],
        "status": shown["status"],
        "allocationStatus": shown["allocationStatus"],
        "createdAt": view.created_at,
        "updatedAt": view.updated_at,
        "_stockVersions": [line.stock_version for line in view.order.lines],
        "_json": orjson.dumps(shown).decode(),
    }
    if view.pickable_since is not None:
        document["_pickableSince"] = view.pickable_since
        if places := _places(view.order):
            document["location"] = places
    if is_late(view.order):
        document["late"] = True
    if shown["hold"] is not None:
        document["hold"] = shown["hold"]
    return document


def whole(document: Document) -> Document:
    """Return all fields of an order's document: those in its JSON, and since when it can be picked."""
    shown: Document = orjson.loads(document["_json"])
    return {**shown, "_id": document["_id"], "_pickableSince": document.get("_pickableSince")}


def view_of(document: Document) -> OrderView:
    """Return the view from which a document of any shape was made."""
    shown = orjson.loads(document["_json"])
    return OrderView(
        id=document["_id"],
        order=order_of(shown, document["_stockVersions"]),
        version=document["sequence"],
        created_at=document["createdAt"],
        updated_at=document["updatedAt"],
        pickable_since=document.get("_pickableSince"),
        archived_at=shown.get("archivedAt"),
    )


def is_archived(view: OrderView) -> bool:
    """Return whether the order was archived, and has not changed since."""
    return view.archived_at is not None


def changed(view: OrderView) -> str:
    """Return the time of the last change of the order."""
    return view.updated_at
