"""Conversion between orders and their shape over HTTP."""

from collections.abc import Sequence
from typing import Any, cast

from msgspec import to_builtins

from domain.address import KeptAddress
from domain.orders.commands import Price, WhenLate, WhenOver
from domain.orders.locating import allocated_at
from domain.orders.state import Held, Line, Order, Return, ReturnLineState, Shipment, ShipmentLine, ShipmentStatus
from domain.policy import AllocationPlan, AllocationPolicy, Granted
from projections.document import Document, money_document, money_of
from streams.messages.tolerant import known


def render(order_id: str, order: Order, version: int, created_at: str, updated_at: str) -> Document:
    """Return `order` as the API shows it, now or at an earlier moment.

    Fields that older code did not know are left out while they are empty: a stored document stays as it is until an
    event changes it.
    """
    allocation = order.allocation_status
    shown: Document = {
        "id": order_id,
        "customerId": order.customer_id,
        "items": [_item(order, line) for line in order.lines],
        "status": order.status._value_,  # `value` is a Python function
        "allocationStatus": allocation and allocation._value_,
        "returnStatus": order.return_status._value_,
        "hold": {"reason": order.holds[-1].reason} if order.on_hold else None,
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
    if order.held:
        shown["holds"] = [_hold(hold) for hold in order.holds]
    if order.ship_by is not None:
        shown |= {"shipBy": order.ship_by, "whenLate": order.when_late.value, "late": order.late}
    if order.backorders_expire_at is not None:
        shown["backordersExpireAt"] = order.backorders_expire_at
    if order.allocation is not None:
        shown["allocation"] = to_builtins(order.allocation)
    return shown


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
        held=tuple(map(_hold_of, document.get("holds", ()))),
        ship_by=document.get("shipBy"),
        when_late=WhenLate(document["whenLate"]) if "whenLate" in document else WhenLate.KEEP,
        backorders_expire_at=document.get("backordersExpireAt"),
        late=document.get("late", False),
        allocation=known(document["allocation"], AllocationPlan) if "allocation" in document else None,
    )


def _hold(hold: Held) -> Document:
    shown = {"holdId": hold.hold_id, "reason": hold.reason}
    return shown if hold.until is None else {**shown, "until": hold.until, "whenOver": hold.when_over.value}


def _hold_of(document: Document) -> Held:
    when_over = WhenOver(document.get("whenOver", WhenOver.RELEASE))
    return Held(document["holdId"], document["reason"], document.get("until"), when_over)


def _item(order: Order, line: Line) -> Document:
    item: Document = {
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
    if line.lost:
        item["lost"] = line.lost
    if line.part_of is not None:
        item["partOf"] = line.part_of
    if line.at:
        item["locations"] = _locations(order, line)
    return item


def _locations(order: Order, line: Line) -> list[Document]:
    """Return the units of a line by location, if not all are at `default`."""
    allocated = allocated_at(order, line)
    return [
        {"location": each.location, "granted": each.quantity, "allocated": allocated.get(each.location, 0)}
        for each in line.at
    ]


def _shipment(shipment: Shipment) -> Document:
    return {
        "shipmentId": shipment.shipment_id,
        "status": shipment.status.value,
        "carrier": shipment.carrier,
        "trackingNumber": shipment.tracking_number,
        "lines": [
            {
                "lineId": line.line_id,
                "quantity": line.quantity,
                "delivered": line.delivered,
                **({"lost": line.lost} if line.lost else {}),
            }
            for line in shipment.lines
        ],
        **({} if shipment.location is None else {"location": shipment.location}),
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


def _address_of(document: Document | str) -> KeptAddress:
    kept: type[Any] = KeptAddress  # type: ignore[assignment]  # mypy takes no union for a type
    return cast(KeptAddress, known(document, kept))  # in the form of events


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
        lost=item.get("lost", 0),
        part_of=item.get("partOf"),
        at=tuple([Granted(location=each["location"], quantity=each["granted"]) for each in item["locations"]])
        if "locations" in item
        else (),
    )


def _shipment_of(document: Document) -> Shipment:
    return Shipment(
        shipment_id=document["shipmentId"],
        status=ShipmentStatus(document["status"]),
        lines=tuple(
            ShipmentLine(line["lineId"], line["quantity"], line["delivered"], lost=line.get("lost", 0))
            for line in document["lines"]
        ),
        carrier=document["carrier"],
        tracking_number=document["trackingNumber"],
        location=document.get("location"),
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
