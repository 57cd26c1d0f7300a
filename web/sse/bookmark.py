"""The position of a listener as an SSE `id`: the next offset of every partition of the event topics.

`12.5.7-33.2.1` has three partitions of `order-events`, then three of `inventory-events`.
"""

import re
from collections.abc import Sequence

from streams.topology import AGGREGATES

TOPICS = tuple(aggregate.events for aggregate in AGGREGATES.values())
_SHAPE = re.compile(r"\d{1,19}(\.\d{1,19})*(-\d{1,19}(\.\d{1,19})*)*", re.ASCII)
LARGEST_OFFSET = 2**63 - 1
Bookmark = tuple[int, ...]  # topic by topic, partition by partition


def encode(position: Sequence[int], partitions: int) -> str:
    """Return a position as an SSE id."""
    topics = (position[start : start + partitions] for start in range(0, len(position), partitions))
    return "-".join(".".join(map(str, offsets)) for offsets in topics)


def decode(sent: str, partitions: int) -> Bookmark | None:
    """Return the position in an id; None if it is not valid for this number of partitions."""
    if not _SHAPE.fullmatch(sent):
        return None
    topics = [[int(offset) for offset in part.split(".")] for part in sent.split("-")]
    if len(topics) != len(TOPICS) or any(len(offsets) != partitions for offsets in topics):
        return None
    position = tuple(offset for offsets in topics for offset in offsets)
    return position if max(position) <= LARGEST_OFFSET else None
