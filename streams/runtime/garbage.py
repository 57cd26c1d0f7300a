"""Runs the garbage collector between fetches instead of during one.

Python's collector visits objects that are alive. During a fetch these are all objects that the fetch has made, which
are freed without the collector when the fetch is done: visiting them took a sixth of a busy projector's time.
"""

import gc

SURVIVORS = 50_000  # new objects that survived their fetches before they are visited; Python's default is 700
MIDDLE, OLD = 20, 100  # visits of a generation before the next older generation is visited
MUCH = 2_000_000  # new objects after which Python collects by itself, in one fetch or without fetches


def configure() -> None:
    """Exclude imported objects, and do not collect during fetches; callers run `collect` between them."""
    gc.freeze()
    gc.set_threshold(MUCH, MIDDLE, OLD)


def collect() -> None:
    """Collect cycles if enough objects have survived; call it while no fetch is handled."""
    young, middle, old = gc.get_count()
    if young >= SURVIVORS:
        gc.collect(2 if old >= OLD else 1 if middle >= MIDDLE else 0)
