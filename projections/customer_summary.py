"""The `customer_summary` read model: the number and value of a customer's orders, as placed.

Orders of one customer are on all partitions. There is one document per customer and partition, and a query adds them
up. Such a document does not belong to an aggregate: it includes the orders before an offset, and `sequence` is that
offset.
"""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from domain.message import MAX_VERSION
from domain.orders.events import OrderPlaced
from projections.document import Document, money_document
from projections.projection import Record
from streams.messages.envelope import EventMessage

Spend = tuple[tuple[str, int], ...]  # (currency, minor units), sorted


class Placed(NamedTuple):
    """An order that was placed; `sequence` is the offset after it in its partition."""

    order: OrderPlaced
    id: str
    time: str
    partition: int
    sequence: int


class CustomerView(NamedTuple):
    """A customer's orders on one partition, before the offset `version`."""

    customer_id: str
    partition: int
    orders: int
    units: int
    spend: Spend
    last_order: tuple[str, str]  # when the order was placed, and its id
    version: int


def placed(message: EventMessage, record: Record) -> Placed | None:
    """Return the order that `message` places, or None."""
    if not isinstance(message.event, OrderPlaced):
        return None
    return Placed(message.event, message.key, message.time, record.partition, record.offset + 1)


def document_id(customer_id: str, partition: int) -> str:
    """Return the `_id` of a customer's document for one partition."""
    return f"{quote(customer_id, safe='')}/{partition}"


def key(message: Placed) -> str:
    """Return the `_id` of the document that `message` changes."""
    return document_id(message.order.customer_id, message.partition)


def begins(message: Placed) -> bool:
    """Return False: only the database knows whether it is the customer's first order here."""
    return False


def fold(view: CustomerView | None, message: Placed) -> CustomerView:
    """Return the customer's orders after `message`."""
    order, total = message.order, message.order.total_cost
    spend = dict(view.spend) if view else {}
    spend[total.currency] = spend.get(total.currency, 0) + total.amount
    last = (message.time, message.id)
    return CustomerView(
        customer_id=order.customer_id,
        partition=message.partition,
        orders=(view.orders if view else 0) + 1,
        units=(view.units if view else 0) + sum(line.quantity for line in order.lines),
        spend=tuple(sorted(spend.items())),
        last_order=max(last, view.last_order) if view else last,
        version=message.sequence,
    )


def document_of(view: CustomerView) -> Document:
    """Return the document of `view`."""
    time, order_id = view.last_order
    return {
        "_id": document_id(view.customer_id, view.partition),
        "sequence": view.version,
        "customerId": view.customer_id,
        "partition": view.partition,
        "orders": view.orders,
        "units": _stored(view.units),
        "spend": {currency: _stored(amount) for currency, amount in view.spend},
        "lastOrder": {"id": order_id, "time": time},
    }


def _stored(total: int) -> int | str:
    """Return a sum over any number of orders as MongoDB can store it: as text if it exceeds 64 bits."""
    return total if total < 2**63 else str(total)


def _exact(total: int) -> int | str:
    """Return a sum as JSON that every client reads exactly: as text beyond 2**53."""
    return total if total <= MAX_VERSION else str(total)


def view_of(document: Document) -> CustomerView:
    """Return the view from which a document was made."""
    last = document["lastOrder"]
    return CustomerView(
        customer_id=document["customerId"],
        partition=document["partition"],
        orders=document["orders"],
        units=int(document["units"]),
        spend=tuple(sorted((currency, int(amount)) for currency, amount in document["spend"].items())),
        last_order=(last["time"], last["id"]),
        version=document["sequence"],
    )


def total(documents: Sequence[Document]) -> Document | None:
    """Return a customer's summary as the API shows it; None if there are no orders."""
    views = [view_of(document) for document in documents]
    if not views:
        return None
    spend: dict[str, int] = {}
    for view in views:
        for currency, amount in view.spend:
            spend[currency] = spend.get(currency, 0) + amount
    time, order_id = max(view.last_order for view in views)
    return {
        "id": views[0].customer_id,
        "customerId": views[0].customer_id,
        "orders": sum(view.orders for view in views),
        "units": _exact(sum(view.units for view in views)),
        "spend": [money_document(amount, currency) for currency, amount in sorted(spend.items())],
        "lastOrder": {"id": order_id, "time": time},
    }
