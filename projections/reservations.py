"""The `reservations` read model: the units of a product reserved for one line, and its place in the queue.

A reservation's `sequence` is the version of the product at its last change, so there are gaps in it.
"""

from typing import NamedTuple, cast

import msgspec

from domain.inventory import evolve_reservation
from domain.inventory.events import Held, ReservationEvent, ReservationRejected, StockBackordered, StockReserved
from domain.inventory.state import Reservation
from domain.policy import MANUAL, AllocationPlan
from projections.document import Document, segment
from streams.messages.envelope import EventMessage
from streams.messages.tolerant import known


class ReservationView(NamedTuple):
    """A reservation of `product_id` after the product's event number `version`."""

    product_id: str
    reservation: Reservation
    version: int
    updated_at: str


def reservation_id(product_id: str, order_id: str, line_id: str) -> str:
    """Return the `_id` of a reservation; a slash in one of the ids is encoded."""
    return f"{segment(product_id)}/{segment(order_id)}/{segment(line_id)}"


def key(message: EventMessage) -> str | None:
    """Return the `_id` of the reservation that `message` changes, if it changes one."""
    event = message.event
    if not isinstance(event, ReservationEvent):
        return None
    return reservation_id(message.key, event.order_id, event.line_id)


def begins(message: EventMessage) -> bool:
    """Return whether `message` is the first of its reservation, so that nothing has to be read.

    A line of an order reserves once. Its first event therefore moves all units it ever requested, and none of them from
    the queue. Manual reservations may be repeated.
    """
    match message.event:
        case StockReserved(place=None) | StockBackordered() | ReservationRejected(place=None) as event:
            moved_in_all = event.reserved + event.backordered + event.rejected
            return event.line_id != MANUAL and event.quantity == moved_in_all
    return False


def fold(view: ReservationView | None, message: EventMessage) -> ReservationView:
    """Return the reservation after `message`."""
    before, event = view.reservation if view else None, cast(ReservationEvent, message.event)
    reservation = evolve_reservation(before, event, message.sequence)
    return ReservationView(message.key, reservation, message.sequence, message.time)


def project(document: Document | None, message: EventMessage) -> Document:
    """Return the `reservations` document after `message`."""
    return document_of(fold(view_of(document) if document else None, message))


def document_of(view: ReservationView) -> Document:
    """Return the document of `view`; `open`: it holds units or waits for them."""
    line = view.reservation
    return {
        "_id": reservation_id(view.product_id, line.order_id, line.line_id),
        "sequence": view.version,
        "productId": view.product_id,
        "orderId": line.order_id,
        "lineId": line.line_id,
        "open": bool(line.held or line.waiting),
        "held": line.held,
        "waiting": line.waiting,
        "shipped": line.shipped,
        "rejected": line.rejected,
        "received": line.received,
        "damaged": line.damaged,
        "place": line.place,
        "updatedAt": view.updated_at,
        "_orderVersion": line.order_version,
        **_if_any(line),
    }


def _if_any(line: Reservation) -> Document:
    """Return the fields of a line that does not get all its units from `default`, or that expires."""
    found: Document = {}
    if line.at:
        found["locations"] = [
            {"location": each.location, "held": each.held, "shipped": each.shipped} for each in line.at
        ]
    if line.expires_at is not None:
        found["expiresAt"] = line.expires_at
    if line.plan is not None:
        found["_plan"] = msgspec.to_builtins(line.plan)
    return found


def view_of(document: Document) -> ReservationView:
    """Return the view from which a document was made."""
    reservation = Reservation(
        order_id=document["orderId"],
        line_id=document["lineId"],
        held=document["held"],
        waiting=document["waiting"],
        shipped=document["shipped"],
        rejected=document["rejected"],
        received=document["received"],
        damaged=document["damaged"],
        place=document["place"],
        order_version=document["_orderVersion"],
        at=tuple(
            Held(location=each["location"], held=each["held"], shipped=each["shipped"])
            for each in document.get("locations", ())
        ),
        plan=known(document["_plan"], AllocationPlan) if "_plan" in document else None,
        expires_at=document.get("expiresAt"),
    )
    return ReservationView(document["productId"], reservation, document["sequence"], document["updatedAt"])
