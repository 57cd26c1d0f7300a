"""What orders and stock agree on before they talk to each other."""

from enum import StrEnum
from typing import Final

MANUAL: Final = "manual"  # the line of reservations made outside any order line; no order's line may be called so


class AllocationPolicy(StrEnum):
    """What to do when stock is short. A line of a product that does not exist is cancelled under each of them."""

    BACKORDER = "BACKORDER"  # wait for stock, first come first served
    PARTIAL = "PARTIAL"  # allocate what there is, cancel the rest
    ALL_OR_NOTHING = "ALL_OR_NOTHING"  # release what was won, cancel the order
