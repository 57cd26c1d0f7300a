"""Words that orders and stock share."""

from enum import StrEnum
from typing import Final

MANUAL: Final = "manual"  # the line of reservations made outside any order line; no order's line may be called so


class AllocationPolicy(StrEnum):
    """How to handle a shortage. A line of an unknown product is cancelled under every policy."""

    BACKORDER = "BACKORDER"  # wait for stock, first come first served
    PARTIAL = "PARTIAL"  # allocate what there is, cancel the rest
    ALL_OR_NOTHING = "ALL_OR_NOTHING"  # release what was won, cancel the order
