"""Unknown names, and the known name that was probably meant."""

import difflib
import re
from collections.abc import Iterable

LONGEST = 64  # characters of an unknown name that a sentence repeats
# Words of other systems for the same thing. An unknown word of a group means the known word of that group.
SAME = (
    ("lines", "items", "line", "item", "lineItems", "orderLines", "orderItems", "products"),
    ("lineId", "line", "lineNumber", "itemId", "lineItemId", "id"),
    ("productId", "product", "sku", "itemId", "article", "id"),
    ("orderId", "order", "orderNumber", "reference", "id"),
    ("shipmentId", "shipment", "parcel", "parcelId", "packageId", "id"),
    ("returnId", "return", "rma", "rmaId", "id"),
    ("commandId", "command", "id"),
    ("customerId", "customer", "user", "userId", "buyer", "client", "clientId"),
    ("quantity", "qty", "units", "count", "amount", "availableQuantity", "delta", "received", "value"),
    ("received", "quantity", "qty", "count"),
    ("delta", "quantity", "change", "adjustment", "difference"),
    ("keep", "quantity"),
    ("price", "unitPrice", "cost", "amount", "value"),
    ("value", "amount", "price"),
    ("amount", "value", "price"),
    ("totalCost", "total", "totalAmount", "totalPrice", "orderTotal", "amount"),
    ("reason", "note", "comment", "message", "why", "description"),
    ("carrier", "shipper", "carrierName", "courier"),
    ("trackingNumber", "tracking", "trackingId", "trackingCode"),
    ("shippingAddress", "address", "deliveryAddress", "shipTo"),
    ("billingAddress", "invoiceAddress", "billTo"),
    ("issuedAt", "placedAt", "createdAt", "orderedAt", "orderDate", "date"),
    ("policy", "allocationPolicy", "backorderPolicy"),
    ("status", "state", "orderStatus", "newStatus"),
    ("name", "recipient", "fullName", "firstName", "lastName", "attention"),
    ("phone", "mobile", "tel"),
    ("limit", "size", "pageSize", "perPage", "count", "max", "top"),
    ("cursor", "offset", "page", "pageToken", "after", "skip"),
    ("sort", "order", "orderBy", "sortBy"),
    ("from", "since", "after", "createdAfter", "start"),
    ("to", "until", "before", "createdBefore", "end"),
    ("asOf", "at", "time", "date", "timestamp"),
    ("types", "type", "event", "events"),
    ("subject", "orderId", "productId", "id"),
    ("expectedversion", "version", "ifMatch"),
    ("validuntil", "deadline", "expires", "expiresAt", "validUntil"),
    ("data", "payload", "body", "command"),
    ("type", "name", "commandType", "eventType"),
    ("subject", "key", "aggregateId", "orderId", "productId"),
)


def unknown(what: str, name: str, known: Iterable[str], spellings: Iterable[str] = ()) -> str:
    """Return the sentence that refuses a `what` called `name`, with the closest known name, or all of them.

    `spellings`: other names that are understood, too.
    """
    names = list(known)
    said = f"unknown {what} `{name:.{LONGEST}}`"
    if (meant := closest(name, names) or closest(name, spellings)) is not None:
        return f"{said}: did you mean `{meant}`?"
    listed = ", ".join(f"`{each}`" for each in names)
    return f"{said}: known are {listed}" if names else f"{said}: none is known here"


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` probably means: other case or separators, a synonym, or a typo."""
    bare = _bare(name[:LONGEST])
    by_bare = {_bare(each): each for each in known}
    if bare in by_bare:
        return by_bare[bare]
    for group in SAME:
        words = [_bare(each) for each in group]
        if bare in words and (meant := next((by_bare[word] for word in words if word in by_bare), None)):
            return meant
    found = difflib.get_close_matches(bare, by_bare, 1, 0.7)
    return by_bare[found[0]] if found else None


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()
