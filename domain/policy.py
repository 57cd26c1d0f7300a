"""Constants that orders and stock share."""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from .message import Asked, Id, written

DEFAULT_LOCATION: Final = "default"  # where stock without a location is
MAX_LOCATIONS: Final = 50  # the limit for one product
MANUAL: Final = "manual"  # the line of reservations outside of orders; no line of an order may have this id


class AllocationPolicy(StrEnum):
    """How a shortage is handled. A line of an unknown product is cancelled under every policy."""

    BACKORDER = "BACKORDER"  # wait for stock, first come, first served
    PARTIAL = "PARTIAL"  # allocate the available units, cancel the rest
    ALL_OR_NOTHING = "ALL_OR_NOTHING"  # release reserved units, cancel the order


class AllocationStrategy(StrEnum):
    """The strategy by which a line gets its units from locations."""

    PRIORITY = "priority"  # from the first locations in a fixed order that have some
    NEAREST = "nearest"  # the same, in the order of the table for the shipping address
    FEWEST_SHIPMENTS = "fewest-shipments"  # from one location that has all units before splitting
    KEEP_TOGETHER = "keep-together"  # from one location, even if the line must wait


class AllocationPlan(Asked):
    """How a line gets its units: a strategy, and locations in order of preference. Other locations follow.

    With `oneLocation`, the whole order gets its units from one location if one has them all.
    """

    strategy: AllocationStrategy = written(AllocationStrategy.PRIORITY)
    locations: Annotated[tuple[Id, ...], Meta(max_length=MAX_LOCATIONS)] = ()
    one_location: bool = False


class Granted(Asked):
    """How many of a line's units stock granted at a location, shipped ones included."""

    location: Id
    quantity: Annotated[int, Meta(ge=0)]
