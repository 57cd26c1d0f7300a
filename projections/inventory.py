"""The `inventory` read model: one document per product, folded by the domain's own `evolve`.

A product with only a rejected reservation does not exist yet: its document has `exists: false`, keeps the place in the
sequence, and is hidden from queries.
"""

from typing import NamedTuple, cast

import msgspec

from domain.inventory import InventoryEvent, Stock, evolve_stock
from domain.inventory.events import At, Balance, StockEvent
from domain.inventory.locations import shown
from domain.inventory.state import Transfer
from projections.document import Document
from streams.messages.envelope import EventMessage
from streams.messages.tolerant import known


class ProductView(NamedTuple):
    """A product at `version`; `created_at`: the time when it began to exist."""

    id: str
    stock: Stock
    version: int
    created_at: str | None
    updated_at: str


def fold(view: ProductView | None, message: EventMessage) -> ProductView:
    """Return the product after `message`."""
    stock = evolve_stock(view.stock if view else Stock(), cast(InventoryEvent, message.event))
    created_at = view.created_at if view else None
    return ProductView(
        id=message.key,
        stock=stock,
        version=message.sequence,
        created_at=created_at or (message.time if stock.exists else None),
        updated_at=message.time,
    )


def moved(view: ProductView, message: EventMessage) -> ProductView:
    """Return the product after `message`, which has a balance and does not discontinue or reactivate it."""
    event = cast(StockEvent, message.event)
    stock = Stock(
        exists=view.stock.exists,
        discontinued=view.stock.discontinued,
        balance=event.balance,
        locations=event.locations,
    )
    return ProductView(view.id, stock, message.sequence, view.created_at, message.time)


def project(document: Document | None, message: EventMessage) -> Document:
    """Return the `inventory` document after `message`."""
    return document_of(fold(view_of(document) if document else None, message))


def kinds_of(view: ProductView) -> list[str]:
    """Return the kinds of products among which `view` is counted; none before it exists."""
    if not view.stock.exists:
        return []
    return [f"status/{view.stock.status.value}", *(["short"] if view.stock.balance.backordered else [])]


def document_of(view: ProductView) -> Document:
    """Return the document of `view`: the fields that the API shows, and those from which the fold continues."""
    stock = view.stock
    return {
        "_id": view.id,
        "sequence": view.version,
        "id": view.id,
        "productId": view.id,
        "exists": stock.exists,
        "availableQuantity": stock.balance.available,
        "allocatedQuantity": stock.balance.allocated,
        "onHandQuantity": stock.balance.on_hand,
        "damagedQuantity": stock.balance.damaged,
        "backorderedQuantity": stock.balance.backordered,
        "status": stock.status.value,
        "version": view.version,
        "createdAt": view.created_at,
        "updatedAt": view.updated_at,
        "_balance": msgspec.to_builtins(stock.balance),
        "_discontinued": stock.discontinued,
        "_queue": [stock.queue_head, stock.queue_tail],
        **(shown(stock) if stock.locations else {}),
    }


def view_of(document: Document) -> ProductView:
    """Return the view from which a document was made."""
    head, tail = document["_queue"]
    return ProductView(
        id=document["_id"],
        stock=Stock(
            exists=document["exists"],
            discontinued=document["_discontinued"],
            balance=known(document["_balance"], Balance),
            queue_head=head,
            queue_tail=tail,
            locations=tuple(_location(each) for each in document.get("locations", ())),
            transfers=tuple(_transfer(each) for each in document.get("transfers", ())),
        ),
        version=document["sequence"],
        created_at=document["createdAt"],
        updated_at=document["updatedAt"],
    )


def _location(shown: Document) -> At:
    return At(
        location=shown["location"],
        on_hand=shown["onHandQuantity"],
        allocated=shown["allocatedQuantity"],
        available=shown["availableQuantity"],
        damaged=shown["damagedQuantity"],
        closed=not shown["open"],
    )


def _transfer(shown: Document) -> Transfer:
    return Transfer(shown["transferId"], shown["source"], shown["target"], shown["quantity"])
