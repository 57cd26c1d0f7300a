"""How events are written: the balance after them, and the totals of the line they are about."""

from typing import Any, TypedDict, Unpack

from domain.errors import InvalidQuantity
from domain.message import MAX_MOVED

from .events import Balance
from .state import Reservation


class Units(TypedDict, total=False):
    """By how many units each figure of a balance moves."""

    on_hand: int
    allocated: int
    backordered: int
    damaged: int
    received: int
    adjusted: int
    restocked: int
    shipped: int


def moved(balance: Balance, **by: Unpack[Units]) -> Balance:
    """Return `balance` after units moved; what is available follows."""
    figures = balance.__dict__.copy()
    for name, units in by.items():
        figures[name] += units
    figures["available"] = figures["on_hand"] - figures["allocated"]
    return Balance(**figures)


def refuse_overflow(balance: Balance, **by: int) -> None:
    """Raise InvalidQuantity if a total of `balance` would grow beyond what every store and client can count.

    Only what comes in from outside is checked: all other figures are bounded by these totals.
    """
    for name, units in by.items():
        if units > 0 and getattr(balance, name) + units > MAX_MOVED:
            raise InvalidQuantity(reason=f"no more than {MAX_MOVED} units of a product can be counted as {name}")


def totals(line: Reservation, held: int = 0, waiting: int = 0, rejected: int = 0, version: int = 0) -> dict[str, Any]:
    """Return what a reservation's event says of the line once its units moved by as many."""
    return {
        "order_id": line.order_id,
        "line_id": line.line_id,
        "reserved": line.held + line.shipped + held,
        "backordered": line.waiting + waiting,
        "rejected": line.rejected + rejected,
        "order_version": version if version > line.order_version else line.order_version,
    }


def is_stale(order_version: int, line: Reservation) -> bool:
    """Return whether a command is older than what the line has heeded; people's (version 0) never are."""
    return 0 < order_version <= line.order_version
