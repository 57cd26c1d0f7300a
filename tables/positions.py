"""The fulfilment process's table: it holds no state of its own, only how far each input was handled."""

from typing import Any

from streams.topics import FULFILMENT_STATES

from .entries import Adapted, Position
from .store import PartitionedTable, declare


class PositionsCodec(Adapted):
    """Every entry is a position."""

    def kind(self, key: bytes) -> type:
        """Return `Position`."""
        return Position


def positions_table(app: Any) -> PartitionedTable:
    """Return the table of the fulfilment role."""
    return declare(app, FULFILMENT_STATES.name, PositionsCodec(), "how far the event topics were handled")
