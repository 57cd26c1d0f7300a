"""Faults on purpose, to see that what is said of bugs and crashes is true. Off unless `FULFILLMENT_FAULTS` names some.

    FULFILLMENT_FAULTS=raise:Hold,raise:ReserveStock       handling these commands raises

Read once, when the process starts. A place that can fail says `if faults.ARMED: fault("its name")`, which costs
nothing while nothing is armed.
"""

import os


class Injected(RuntimeError):
    """The bug that was asked for."""


def _armed(text: str) -> dict[str, str]:
    """Return name → what is to happen there."""
    pairs = (each.strip().partition(":") for each in text.split(",") if each.strip())
    return {name: action for action, _, name in pairs}


ARMED = _armed(os.environ.get("FULFILLMENT_FAULTS", ""))


def fault(name: str) -> None:
    """Let happen what is armed for `name`."""
    match ARMED.get(name):
        case None:
            return
        case "raise":
            raise Injected(f"a fault was asked for: {name}")
        case other:
            raise ValueError(f"FULFILLMENT_FAULTS: nobody knows how to {other!r}")
