"""Today's answers and audit, compared with the recorded ones."""

import re
from collections.abc import Iterator
from typing import Any

from upgrade_answers import answered
from upgrade_installation import Installation

# Older code gave two events of these the same id. After a rebuild, either of the two may be in their logs.
COLLIDED = ("/orders/a/", "/orders/a?", "/orders/a%2Fb", "/orders/forgetful", "/inventory/boots/l", "/inventory/boots?")
# Fields that older answers did not have, and fields that today's lists of letters leave out when they are large.
ADDED = {"id", "href", "valueBytes", "nextCursor"}
MOVED = {"value", "valueBase64", "headers", "traceback"}
FOUND_SINCE = {("event id", "order-events", "a")}  # older audits looked for ids that repeat within one order only


def comparable(path: str, answer: Any) -> Any:
    """Return an answer without the `undone-` documents, which change when today's code starts, and letters sorted."""
    found = answer["data"]
    if not isinstance(found, list):
        return answer
    if path.startswith("/letters?kind"):
        found = sorted(found, key=lambda letter: [str(letter.get(name)) for name in ("topic", "offset", "key", "role")])
    return answer | {"data": [each for each in found if not str(each.get("id")).startswith("undone-")]}


def differences(it: Installation, recorded: dict[str, Any]) -> list[str]:
    """Return one line for each difference between today's answers and the recorded ones."""
    return [
        line
        for path, before in recorded["answers"].items()
        if before["status"] < 500  # a failure of the older code
        for line in compared(comparable(path, answered(it, path)), comparable(path, before), path)
    ]


def compared(now: Any, before: Any, where: str) -> Iterator[str]:
    """Yield the differences of two answers; `now` may have `ADDED` fields."""
    if isinstance(before, dict) and isinstance(now, dict):
        yield from (f"{where}.{name} is new" for name in now.keys() - before.keys() - ADDED)
        moved = MOVED if where.startswith("/letters") else set()
        for name in before.keys() - (moved - now.keys()):
            yield from compared(now.get(name), before[name], f"{where}.{name}")
    elif isinstance(before, list) and isinstance(now, list) and len(now) == len(before):
        for number, (each, earlier) in enumerate(zip(now, before, strict=True)):
            yield from compared(each, earlier, f"{where}.{number}")
    elif now != before:
        yield f"{where}: {before!s:.200} is now {now!s:.200}"


def drifts(report: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Return the drift that an audit reports: kind, place and key; read models without their version.

    The orders `a` and `a/b` share an event id, and an audit names the one whose event it reads later.
    """
    return {
        (drift["kind"], re.sub(r"_v\d+$", "", drift["where"]), "a" if drift["key"] == "a/b" else drift["key"])
        for drift in report["drift"]
    }
