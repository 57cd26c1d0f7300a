"""Cursors: where a page ended, as an opaque word that fits into a URL.

BadCursor                   the word is no cursor of this list
"""

import base64
import binascii

import orjson

from projections.document import Document


class BadCursor(ValueError):
    """A cursor that we did not hand out for this list and this sort."""

    def __init__(self) -> None:
        super().__init__("the cursor does not belong to this list: use nextCursor of its last page, with the same sort")


def encode(sort: str, key: str, document: Document) -> str:
    """Return the cursor behind `document` in a list sorted by its field `key`."""
    position = orjson.dumps([sort, document[key], document["_id"]])
    return base64.urlsafe_b64encode(position).rstrip(b"=").decode()


def decode(sort: str, cursor: str) -> tuple[str | int, str]:
    """Return the sort key and `_id` to go on behind; `BadCursor` when it is of another sort, or none at all."""
    try:
        position = orjson.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error) as error:
        raise BadCursor from error
    match position:
        case [str(of), str() | int() as value, str(identifier)] if of == sort and _storable(value):
            return value, identifier
    raise BadCursor


def _storable(value: str | int) -> bool:
    """Return whether MongoDB could have `value` as a sort key: text, or a number of 64 bits."""
    return isinstance(value, str) or (not isinstance(value, bool) and -(2**63) <= value < 2**63)
