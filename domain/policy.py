"""Constants that orders and stock share."""

from enum import StrEnum
from typing import Final

MANUAL: Final = "manual"  # the line of reservations outside of orders; no line of an order may have this id


class AllocationPolicy(StrEnum):
    """How a shortage is handled. A line of an unknown product is cancelled under every policy."""

    BACKORDER = "BACKORDER"  # wait for stock, first come, first served
    PARTIAL = "PARTIAL"  # allocate the available units, cancel the rest
    ALL_OR_NOTHING = "ALL_OR_NOTHING"  # release reserved units, cancel the order
