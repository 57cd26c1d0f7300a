"""Conversion between orders and their shape over HTTP."""

from collections.abc import Sequence

from msgspec import to_builtins

from domain.address import Address
from domain.orders.commands import Price
from domain.orders.state import Line, Order, Return, ReturnLineState, Shipment, ShipmentLine, ShipmentStatus
from domain.policy import AllocationPolicy
from projections.document import Document, money_document, money_of
from streams.messages.tolerant import known


def render(order_id: str, order: Order, version: int, created_at: str, updated_at: str) -> Document:
    """Return `order` as the API shows it, now or at an earlier moment."""
    allocation = order.allocation_status
    return {
        "id": order_id,
        "customerId": order.customer_id,
        "items": [_item(line) for line in order.lines],
        "status": order.status._value_,  # `value` is a Python function
        "allocationStatus": allocation and allocation._value_,
        "returnStatus": order.return_status._value_,
        "hold": None if order.hold is None else {"reason": order.hold},
        "policy": order.policy._value_,
        "shippingAddress": to_builtins(order.shipping_address),
        "billingAddress": to_builtins(order.billing_address),
        "totalCost": money_document(order.total_cost.amount, order.total_cost.currency),
        "shipments": [_shipment(shipment) for shipment in order.shipments],
        "returns": [_return(returned) for returned in order.returns],
        "version": version,
        "issuedAt": order.issued_at,
        "createdAt": created_at,
        "updatedAt": updated_at,
    }


def order_of(document: Document, stock_versions: Sequence[int]) -> Order:
    """Return the order that `document` shows; `stock_versions`: the last stock version recorded in each line."""
    return Order(
        customer_id=document["customerId"],
        lines=tuple(_line(item, version) for item, version in zip(document["items"], stock_versions, strict=True)),
        policy=AllocationPolicy(document["policy"]),
        total_cost=money_of(document["totalCost"]),
        shipping_address=_address_of(document["shippingAddress"]),
        billing_address=_address_of(document["billingAddress"]),
        issued_at=document["issuedAt"],
        hold=document["hold"] and document["hold"]["reason"],
        shipments=tuple(map(_shipment_of, document["shipments"])),
        returns=tuple(map(_return_of, document["returns"])),
    )


def _item(line: Line) -> Document:
    return {
        "lineId": line.line_id,
        "productId": line.product_id,
        "quantity": line.ordered,
        "price": money_document(line.price.amount, line.price.currency),
        "pending": line.pending,
        "backordered": line.backordered,
        "allocated": line.allocated,
        "shipped": line.shipped,
        "delivered": line.delivered,
        "cancelled": line.cancelled,
        "rejected": line.rejected,
        "returned": line.returned,
        "damaged": line.damaged,
    }


def _shipment(shipment: Shipment) -> Document:
    return {
        "shipmentId": shipment.shipment_id,
        "status": shipment.status.value,
        "carrier": shipment.carrier,
        "trackingNumber": shipment.tracking_number,
        "lines": [
            {"lineId": line.line_id, "quantity": line.quantity, "delivered": line.delivered} for line in shipment.lines
        ],
    }


def _return(returned: Return) -> Document:
    return {
        "returnId": returned.return_id,
        "status": "OPEN" if returned.open else "RECEIVED",
        "reason": returned.reason,
        "lines": [
            {"lineId": line.line_id, "quantity": line.quantity, "received": line.received, "damaged": line.damaged}
            for line in returned.lines
        ],
    }


def _address_of(document: Document) -> Address:
    return known(document, Address)  # in the form of events


def _line(item: Document, stock_version: int) -> Line:
    price = money_of(item["price"])
    return Line(
        line_id=item["lineId"],
        product_id=item["productId"],
        price=Price(amount=price.amount, currency=price.currency),
        ordered=item["quantity"],
        pending=item["pending"],
        backordered=item["backordered"],
        allocated=item["allocated"],
        shipped=item["shipped"],
        delivered=item["delivered"],
        cancelled=item["cancelled"],
        rejected=item["rejected"],
        returned=item["returned"],
        damaged=item["damaged"],
        stock_version=stock_version,
    )


def _shipment_of(document: Document) -> Shipment:
    return Shipment(
        shipment_id=document["shipmentId"],
        status=ShipmentStatus(document["status"]),
        lines=tuple(ShipmentLine(line["lineId"], line["quantity"], line["delivered"]) for line in document["lines"]),
        carrier=document["carrier"],
        tracking_number=document["trackingNumber"],
    )


def _return_of(document: Document) -> Return:
    return Return(
        return_id=document["returnId"],
        open=document["status"] == "OPEN",
        lines=tuple(
            ReturnLineState(line["lineId"], line["quantity"], line["received"], line["damaged"])
            for line in document["lines"]
        ),
        reason=document["reason"],
    )
