"""What all documents have in common: camelCase, `_id`, and the `sequence` of the last event they include."""

from functools import lru_cache
from typing import Any

from domain.money import Money, decimal_string

Document = dict[str, Any]
_value = lru_cache(maxsize=10_000)(decimal_string)  # a shop has fewer prices than lines


def segment(text: str) -> str:
    """Return `text` as one segment of an `_id` whose segments are joined by slashes."""
    return text.replace("%", "%25").replace("/", "%2F")


def public(document: Document) -> Document:
    """Return `document` as the API shows it: `_id` as `id`, and without what begins with an underscore.

    `sequence` goes too where `version` says the same.
    """
    hidden = "sequence" if "version" in document else "_id"
    shown = {name: value for name, value in document.items() if name[0] != "_" and name != hidden}
    return {"id": document["_id"], **shown}


def money_document(amount: int, currency: str) -> dict[str, str]:
    """Return minor units as HTTP and documents have them: `{"currency": "EUR", "value": "12.50"}`."""
    return {"currency": currency, "value": _value(amount, currency)}


def money_of(document: Document) -> Money:
    """Return the money `money_document` wrote: all its decimals are there, so without the point it is minor units."""
    return Money(amount=int(document["value"].replace(".", "")), currency=document["currency"])
