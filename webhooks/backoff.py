"""When to try a failed delivery again."""

from random import Random

FIRST_SECONDS, LONGEST_SECONDS = 5.0, 3_600.0
JITTER = 0.5  # the part of a pause that is random, so that retries do not arrive together


def pause_after(attempts: int, random: Random, asked: float | None = None) -> float:
    """Return the seconds to wait after failed attempts: 5 s, doubled each time, up to an hour, less up to half.

    `asked` is the receiver's Retry-After, which is respected up to an hour.
    """
    longest: float = min(FIRST_SECONDS * 2 ** min(attempts - 1, 20), LONGEST_SECONDS)
    pause = longest * (1 - JITTER * random.random())
    return pause if asked is None else max(pause, min(asked, LONGEST_SECONDS))
