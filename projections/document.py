"""Common parts of all documents: camelCase, `_id`, and `sequence`, the number of the last event they include."""

from functools import lru_cache
from typing import Any

from domain.money import Money, decimal_string

Document = dict[str, Any]
_value = lru_cache(maxsize=10_000)(decimal_string)  # there are fewer different prices than lines


def segment(text: str) -> str:
    """Return `text` as one segment of an `_id` whose segments are joined by slashes."""
    return text.replace("%", "%25").replace("/", "%2F") if "%" in text or "/" in text else text


def public(document: Document) -> Document:
    """Return `document` as the API shows it: `_id` becomes `id`, and fields that begin with an underscore are omitted.

    `sequence` is omitted too, because `version` has the same value.
    """
    hidden = "sequence" if "version" in document else "_id"
    shown = {name: value for name, value in document.items() if name[0] != "_" and name != hidden}
    return {"id": document["_id"], **shown}


def money_document(amount: int, currency: str) -> dict[str, str]:
    """Return minor units as in HTTP and documents: `{"currency": "EUR", "value": "12.50"}`."""
    return {"currency": currency, "value": _value(amount, currency)}


def money_of(document: Document) -> Money:
    """Return the money that `money_document` wrote with all decimals: without the point, the digits are minor units."""
    return Money(amount=int(document["value"].replace(".", "")), currency=document["currency"])
