"""Today's answers and audit, compared with the recorded ones."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from upgrade_answers import answered
from upgrade_installation import Installation


@dataclass(frozen=True)
class Faults:
    """Faults of a recorded version: beginnings of paths whose answers differ today, and drift it did not find."""

    forgotten: tuple[str, ...] = ()  # they differ at once
    rebuilt: tuple[str, ...] = ()  # they differ after a rebuild
    found_since: frozenset[tuple[str, str, str]] = frozenset()


FAULTS = {
    "1e1ad36": Faults(
        # The command `shared` was sent to two products, and only the outcome of one of them was kept.
        forgotten=("/inventory/laces/ledger?limit=500.data.5.commandType",),
        # Two events had the same id, and one of them was lost; a rebuild brings it back. Of a refusal that no aggregate
        # remembers, today's code keeps the last one.
        rebuilt=("/orders/a/", "/orders/a?", "/orders/a%2Fb", "/orders/forgetful", "/inventory/boots/l",
                 "/inventory/boots?", "/commands/repeated-2", "/orders/repeated/refusals"),
        # Its audit looked for ids that repeat within one order only.
        found_since=frozenset({("event id", "order-events", "a")}),
    ),
}  # fmt: skip


def faults(recorded: dict[str, Any]) -> Faults:
    """Return the faults of the recorded version."""
    return FAULTS.get(recorded["commit"][:7], Faults())


# Fields that older answers did not have, and fields that today's lists of letters leave out when they are large.
ADDED = {"id", "href", "valueBytes", "nextCursor", "holdId"}
MOVED = {"value", "valueBase64", "headers", "traceback"}


def comparable(path: str, answer: Any) -> Any:
    """Return an answer without the `undone-` documents, which change when today's code starts, and letters sorted."""
    found = answer["data"]
    if not isinstance(found, list):
        return answer
    if path.startswith("/letters?kind"):
        found = sorted(found, key=lambda letter: [str(letter.get(name)) for name in ("topic", "offset", "key", "role")])
    return answer | {"data": [each for each in found if not str(each.get("id")).startswith("undone-")]}


def unexpected(it: Installation, recorded: dict[str, Any], expected: tuple[str, ...]) -> list[str]:
    """Return one line for each difference from the recorded answers that does not begin with one of `expected`."""
    return [
        line
        for path, before in recorded["answers"].items()
        if before["status"] < 500  # a failure of the older code
        for line in compared(comparable(path, answered(it, path)), comparable(path, before), path)
        if not line.startswith(expected)
    ]


def compared(now: Any, before: Any, where: str) -> Iterator[str]:
    """Yield the differences of two answers; `now` may have `ADDED` fields, and sentences are written when asked."""
    if isinstance(before, dict) and isinstance(now, dict):
        yield from (f"{where}.{name} is new" for name in now.keys() - before.keys() - ADDED)
        moved = MOVED if where.startswith("/letters") else set()
        sentences = {"message"} if "/explain" in where or where.endswith(".error") else set()
        for name in before.keys() - (moved - now.keys()) - sentences:
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
    return {(drift["kind"], re.sub(r"_v\d+$", "", drift["where"]), _key(drift)) for drift in report["drift"]}


def _key(drift: dict[str, Any]) -> str:
    if drift["kind"] == "document":
        return str(drift["key"].split("/")[0])  # today's code adds the aggregate and the sequence to an id that repeats
    return "a" if drift["key"] == "a/b" else str(drift["key"])
