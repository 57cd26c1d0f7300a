"""The folders of servers of one kind: `kafka`, or `kafka-1`, `kafka-2` … if there are several."""

from pathlib import Path

from ops.errors import Misconfigured


def numbered(folder: Path, count: int, option: str) -> list[Path]:
    """Return the folder of each of `count` servers; Misconfigured if they have the data of another number of servers.

    `option` is the one of `fulfillment up` that sets the number.
    """
    before = len(list(folder.parent.glob(f"{folder.name}-*"))) or (1 if folder.exists() else 0)
    if before and before != count:
        raise Misconfigured(
            f"{folder.parent} has the data of {before} {folder.name} server{'s' if before > 1 else ''}: start it with "
            f"`{option} {before}`, or set FULFILLMENT_DATA to another directory."
        )
    return [folder] if count == 1 else [folder.with_name(f"{folder.name}-{number}") for number in range(1, count + 1)]
