"""Keys of table entries. Segments are ids, encoded because an id may contain `/`; keys of our own begin with `/`,
which no encoded id does."""

import string
from urllib.parse import quote

_PLAIN = (string.ascii_letters + string.digits + "_.-~").encode()  # characters that `quote` does not change


def segment(identifier: str) -> bytes:
    """Return an id as a segment of a key, without `/`."""
    encoded = identifier.encode()
    return encoded if not encoded.translate(None, _PLAIN) else quote(identifier, safe="").encode()


def position_key(topic: str) -> bytes:
    """Return the key of an input topic's `Position`."""
    return b"/" + topic.encode()
