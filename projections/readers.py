"""Which read models the running projectors and APIs know, and what prevents a version from going live. Pure.

The command line's code builds a version. Processes that were started before that code was installed keep running
without it: a projector ignores versions whose shape it does not know, and an API answers 404.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from projections.table import OLDER_SHAPES, PROJECTIONS

Shape = tuple[str, int]  # a projection's name, and one of its shapes
KNOWN: frozenset[Shape] = frozenset((one.name, one.shape) for one in (*PROJECTIONS, *OLDER_SHAPES))


@dataclass(frozen=True, slots=True)
class Reader:
    """A running process that works with read models, by its own entry.

    `follows`: the versions (such as `orders/v2`) that a projector keeps up to date, or an API reads. `seen`: the time
    of the entry.
    """

    id: str
    seen: datetime
    name: str
    role: Literal["projector", "api"]
    knows: frozenset[Shape]
    follows: frozenset[str]


def unaware(readers: Iterable[Reader], shape: Shape) -> str | None:
    """Return why a shape must not be deployed yet: processes whose code does not know it. None if all do."""
    without = [one for one in readers if shape not in one.knows]
    if not without:
        return None
    name, number = shape
    roles = " ".join(sorted({one.role for one in without}, reverse=True))
    return (
        f"{_names(without)} run{'s' if len(without) == 1 else ''} code that does not know shape {number} of {name}: "
        f"restart with this code (`fulfillment restart {roles}`), then retry."
    )


def absent(readers: Iterable[Reader], what: str) -> str | None:
    """Return that no running projector keeps something up to date; None if one does."""
    if any(one.role == "projector" for one in readers):
        return None
    return (
        f"No running projector keeps {what} up to date: start one (`fulfillment up`, or `fulfillment worker "
        "projector`), or restart one of an older release (`fulfillment restart projector`)."
    )


def idle(readers: Sequence[Reader], version: str) -> str | None:
    """Return why a version is not kept up to date: no projector runs, or one ignores it. None if all follow it."""
    if missing := absent(readers, version):
        return missing
    if passing := [one for one in readers if one.role == "projector" and version not in one.follows]:
        do = "does" if len(passing) == 1 else "do"
        return f"{_names(passing)} {do} not keep {version} up to date: `fulfillment restart projector`."
    return None


def unread(readers: Iterable[Reader], versions: Collection[str]) -> str | None:
    """Return which APIs do not read the live versions; None if all do."""
    lacking = {one.name: sorted(set(versions) - one.follows) for one in readers if one.role == "api"}
    lacking = {name: missing for name, missing in lacking.items() if missing}
    if not lacking:
        return None
    said = "; ".join(f"{name} does not read {', '.join(missing)}" for name, missing in lacking.items())
    return f"{said}: `fulfillment restart api`."


def _names(readers: Sequence[Reader]) -> str:
    names = sorted(one.name for one in readers)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
