"""The versions of an aggregate that a command expects: `expectedversion` in its envelope, `If-Match` over HTTP.

3         the aggregate is at version 3; 0: it does not exist yet
"3, 4"    it is at one of these versions
"*"       it exists
"""

import re
from typing import Any

from domain.message import MAX_VERSION

Expected = int | str  # a number, or as it is written above
EXISTS = "*"
_SEVERAL = re.compile(r"[0-9]{1,16}( *, *[0-9]{1,16}){0,99}")


def expected_of(value: Any) -> Expected | None:
    """Return the condition in `value` in its shortest form; None if it is not a condition."""
    if type(value) is int:
        return value if 0 <= value <= MAX_VERSION else None
    if value == EXISTS:
        return EXISTS
    if not isinstance(value, str) or not _SEVERAL.fullmatch(value):
        return None
    return one_of({int(each) for each in value.split(",")})


def one_of(versions: set[int]) -> Expected | None:
    """Return the condition that an aggregate is at one of `versions`; None if one is invalid, or there are none."""
    if not versions or max(versions) > MAX_VERSION:
        return None
    return versions.pop() if len(versions) == 1 else ", ".join(map(str, sorted(versions)))


def holds(expected: Expected, version: int) -> bool:
    """Return whether an aggregate at `version` (0 if it does not exist) meets the condition."""
    if type(expected) is int:
        return expected == version
    return version > 0 if expected == EXISTS else version in listed(expected)


def listed(expected: Expected) -> list[int]:
    """Return the versions in the condition."""
    return [] if expected == EXISTS else [int(each) for each in str(expected).split(",")]


def shown(expected: Expected) -> int | str | list[int]:
    """Return the condition for the details of a rejection."""
    return expected if expected == EXISTS or type(expected) is int else listed(expected)
