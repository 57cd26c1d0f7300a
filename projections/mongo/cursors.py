"""Cursors: the end of a page, as an opaque word for a URL.

BadCursor                   the word is not a cursor of this list
"""

import base64
import binascii
from hashlib import blake2b
from typing import Any

import orjson


class BadCursor(ValueError):
    """A cursor that was not issued for this list, filter and sort."""

    def __init__(self) -> None:
        super().__init__(
            "the cursor is not the nextCursor of an earlier page of this list with the same filters and sort"
        )


def encode(sort: str, value: Any, identifier: str, question: Any) -> str:
    """Return the cursor after the document with this sort key and id; `question` is the list and its filters."""
    position = orjson.dumps([sort, value, identifier, _digest(question)])
    return base64.urlsafe_b64encode(position).rstrip(b"=").decode()


def decode(sort: str, cursor: str, question: Any) -> tuple[str | int, str]:
    """Return the sort key and `_id` after which to continue; raise `BadCursor` unless it was issued for `question`.

    Cursors that older code issued, without the question, are still accepted.
    """
    try:
        position = orjson.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error) as error:
        raise BadCursor from error
    match position:
        case [str(of), str() | int() as value, str(identifier), *rest] if of == sort and _storable(value):
            if rest in ([], [_digest(question)]):
                return value, identifier
    raise BadCursor


def _digest(question: Any) -> str:
    return blake2b(orjson.dumps(question, option=orjson.OPT_SORT_KEYS), digest_size=6).hexdigest()


def _storable(value: str | int) -> bool:
    """Return whether MongoDB can store `value` as a sort key: text, or a 64-bit number."""
    return isinstance(value, str) or (not isinstance(value, bool) and -(2**63) <= value < 2**63)
