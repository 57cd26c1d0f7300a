"""Keys of table entries. Segments are ids, encoded because an id may contain `/`; keys of our own begin with `/`,
which no encoded id does."""

import re
from functools import lru_cache
from urllib.parse import quote

_PLAIN = re.compile(r"[\w.~-]+", re.ASCII)  # characters that `quote` does not change


@lru_cache(maxsize=65_536)
def segment(identifier: str) -> bytes:
    """Return an id as a segment of a key, without `/`."""
    return identifier.encode() if _PLAIN.fullmatch(identifier) else quote(identifier, safe="").encode()


def position_key(topic: str) -> bytes:
    """Return the key of an input topic's `Position`."""
    return b"/" + topic.encode()
