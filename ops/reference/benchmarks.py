"""The benchmark table of the README, taken from the full results."""

import re
from pathlib import Path

from ops.reference.markdown import table

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
SECTION = re.compile(r"`python -m bench decide`.*?\n(\|.*?)\n\n", re.DOTALL)


def compared() -> str:
    """Return the rate of our agent next to those of the bare loops, as `python -m bench decide` measured them."""
    found = SECTION.search(RESULTS.read_text())
    if found is None:
        raise ValueError(f"{RESULTS} has no results of `python -m bench decide`")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()[2:]]
    rates = [(what, median, spread) for what, _, median, spread, *_ in cells if median.endswith("/s")]
    return table(("", "Median", "Lowest–highest"), rates)
