"""Tables for the terminal."""

from rich import box
from rich.table import Table


def table(*headers: str) -> Table:
    """Return a table that wraps long cells instead of truncating them, because people copy names from it."""
    found = Table(*headers, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in found.columns:
        column.overflow = "fold"
    return found
