"""Describe how two values differ: only the leaves that do, by their paths."""

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

SHOWN, CHARACTERS = 3, 60
MISSING = object()


def differences(found: Any, expected: Any, expected_by: str = "the events say") -> str:
    """Return the leaves that differ, for example `items.0.allocated is 7, the events say 4`."""
    ours, theirs = dict(_leaves(found)), dict(_leaves(expected))
    paths = [path for path in {**theirs, **ours} if ours.get(path, MISSING) != theirs.get(path, MISSING)]
    said = [f"{path} is {_short(ours, path)}, {expected_by} {_short(theirs, path)}" for path in paths[:SHOWN]]
    return "; ".join([*said, *([f"and {len(paths) - SHOWN} more"] if len(paths) > SHOWN else [])])


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    children = _children(value)
    if children is None:
        yield path, value
        return
    for name, child in children:
        yield from _leaves(child, f"{path}.{name}" if path else str(name))


def _children(value: Any) -> Iterable[tuple[Any, Any]] | None:
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, Struct):
        return asdict(value).items()
    if is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    return None


def _short(leaves: dict[str, Any], path: str) -> str:
    text = repr(leaves[path]) if path in leaves else "missing"
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]}…"
