"""The plan of an audit: its topics, up to which offsets, and where the results of its parts are kept.

    FULFILLMENT_DATA/audit/plan.json               the plan; an audit is resumed only if it would be planned the same
                           order-events-3/         the result of one part, complete as soon as it has this name
                           order-events-3.part/    an incomplete part, which is discarded after an interruption

The folder is a workspace (`ops/workspace.py`).
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ops import workspace as workspaces
from ops.audit.buckets import buckets_for
from ops.audit.groups import LIMIT

FORMAT = 3  # the version of plans and results: increase it when one of them changes
PLAN, RESULT, SPENT, PART = "plan.json", "result.json", "spent.json", ".part"
Ends = dict[str, dict[int, int]]  # topic → partition → offset


@dataclass(frozen=True)
class Plan:
    """The extent of an audit; results of an interrupted audit can be used if the identities are equal."""

    topic_ids: dict[str, str]  # full name → id, which a topic that was created again does not have
    shapes: dict[str, tuple[int, int]]  # name of a projection → shape and version
    database: str  # its address, without credentials, and its name
    built: dict[str, str]  # name of a projection → when its version was created, which a new database does not have
    repair: bool
    begins: Ends
    ends: Ends
    limit: int = LIMIT  # bytes of events in the memory of a process
    format: int = FORMAT
    buckets: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "buckets", buckets_for(self.events))

    @property
    def events(self) -> int:
        """The number of offsets from the begins to the ends."""
        return sum(end - self.begins[topic][n] for topic, ends in self.ends.items() for n, end in ends.items())

    @property
    def identity(self) -> dict[str, Any]:
        """The fields that a resumed audit must have in common with this one."""
        names = "topic_ids", "shapes", "database", "built", "repair", "format"
        return {name: getattr(self, name) for name in names}


def saved(folder: Path) -> Plan | None:
    """Return the plan of an interrupted audit; None without one, or if another version wrote it."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        found = json.loads((folder / PLAN).read_text())
        found.pop("buckets")
        found["shapes"] = {name: tuple(shape) for name, shape in found["shapes"].items()}
        return Plan(**found | {name: _offsets(found[name]) for name in ("begins", "ends")})
    return None


def _offsets(found: Mapping[str, Mapping[str, int]]) -> Ends:
    return {topic: {int(number): offset for number, offset in each.items()} for topic, each in found.items()}


def save(plan: Plan, folder: Path) -> None:
    """Write the plan of a new audit."""
    write_json(folder / PLAN, asdict(plan))


def write_json(file: Path, value: Any) -> None:
    """Write a file that is complete whenever it exists."""
    part = file.with_name(f"{file.name}{PART}")
    part.write_text(json.dumps(value))
    part.replace(file)


def clear(folder: Path) -> None:
    """Remove everything about the last audit, its plan first: without it, nothing is resumed."""
    (folder / PLAN).unlink(missing_ok=True)
    workspaces.clear(folder)


# --- the time that an audit has taken, before it was interrupted


def spent(folder: Path) -> float:
    """Return the seconds."""
    with suppress(OSError, ValueError, TypeError):
        return float(json.loads((folder / SPENT).read_text()))
    return 0.0


def spend(folder: Path, seconds: float) -> None:
    """Write the seconds."""
    write_json(folder / SPENT, seconds)


# --- parts


def is_done(folder: Path, name: str) -> bool:
    """Return whether a part is complete."""
    return (folder / name / RESULT).exists()


@contextmanager
def part(folder: Path, name: str) -> Iterator[Path]:
    """Give the folder in which a part is made; it gets its name at the end."""
    made = folder / f"{name}{PART}"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    yield made
    made.rename(folder / name)


def result(folder: Path, name: str) -> dict[str, Any]:
    """Return the result of a part."""
    found: dict[str, Any] = json.loads((folder / name / RESULT).read_text())
    return found
