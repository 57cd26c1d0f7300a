"""Keys of table entries. Segments are ids, encoded because `/` is legal in them; keys of ours begin with `/`, which no
encoded id does."""

import re
from functools import lru_cache
from urllib.parse import quote

_PLAIN = re.compile(r"[\w.~-]+", re.ASCII)  # what `quote` leaves as it is


@lru_cache(maxsize=65_536)
def segment(identifier: str) -> bytes:
    """Return an id as a key's segment, without `/`."""
    return identifier.encode() if _PLAIN.fullmatch(identifier) else quote(identifier, safe="").encode()


def position_key(topic: str) -> bytes:
    """Return the key of an input topic's `Position`."""
    return b"/" + topic.encode()
