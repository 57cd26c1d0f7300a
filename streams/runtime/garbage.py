"""Looks for cycles between two fetches instead of in the middle of one.

Python's collector visits what is alive. In the middle of a fetch that is all the fetch has made, which is gone without
its help as soon as the fetch is done: visiting it was a sixth of a busy projector's time.
"""

import gc

SURVIVORS = 50_000  # objects that outlived their fetches, after which those are visited; Python's own is 700
MIDDLE, OLD = 20, 100  # visits after which those that survived earlier ones are visited too, and how many of these
MUCH = 2_000_000  # objects made by what has no fetches, or by one alone: then it is done at once


def configure() -> None:
    """Leave what was imported alone, and what a fetch makes too: whoever fetches calls `collect` in between."""
    gc.freeze()
    gc.set_threshold(MUCH, MIDDLE, OLD)


def collect() -> None:
    """Look for cycles if enough has survived; called when nothing is being handled."""
    young, middle, old = gc.get_count()
    if young >= SURVIVORS:
        gc.collect(2 if old >= OLD else 1 if middle >= MIDDLE else 0)
