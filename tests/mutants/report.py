"""Write the result of a mutation run to a page; fail if too few mutants are killed. `make mutants` runs it."""

import argparse
import json
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files

EQUIVALENT = Path(__file__).with_name("equivalent.toml")
BEGIN, END = "<!-- mutants: written by `make mutants` -->", "<!-- end of mutants -->"
LEAST = 97.0  # percent
KILLED, UNTYPED, SAME, SURVIVED, UNTRIED = "killed", "refused by mypy", "equivalent", "survived", "not tried"
FROM_MUTMUT = {
    "not checked": UNTRIED,
    "killed": KILLED,
    "timeout": KILLED,
    "segfault": KILLED,
    "caught by type check": UNTYPED,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed function: `place` names the function, `change` is the changed line, after a minus if it is gone."""

    module: str
    place: str
    change: str
    status: str


def mutants() -> Iterator[Mutant]:
    """Yield the mutants of the last run."""
    reasons = {(each["in"], each["change"]) for each in tomllib.loads(EQUIVALENT.read_text())["equivalent"]}
    for path in walk_mutatable_files():
        found = Path("mutants", f"{path}.meta")
        codes = json.loads(found.read_text())["exit_code_by_key"] if found.exists() else {}
        for name, code in codes.items():
            status = FROM_MUTMUT.get(status_by_exit_code[code], SURVIVED)
            place = re.sub(r"\.x[ǁ_](.+)__mutmut_\d+$", r".\1", name).replace("ǁ", ".")
            change = "" if status != SURVIVED else _change(get_diff_for_mutant(name, path=path))
            yield Mutant(str(path), place, change, SAME if (place, change) in reasons else status)


def _change(diff: str) -> str:
    """Return the line that a diff adds; if it only removes one, that line after a minus."""
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    added = [line[1:].strip() for line in lines if line[0] == "+" and line[1:].strip(" )")]
    return " ".join(added) or "- " + " ".join(line[1:].strip() for line in lines if line[0] == "-")


def percent(counts: Counter[str]) -> float:
    """Return how many of the mutants that behave differently and have valid types are killed."""
    return 100.0 * counts[KILLED] / max(counts[KILLED] + counts[SURVIVED], 1)


def page(found: list[Mutant]) -> str:
    """Return the tables."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for each in found:
        counts[each.module][each.status] += 1
    total = sum(counts.values(), Counter[str]())
    tried = total[KILLED] + total[SURVIVED]
    columns = [UNTYPED, SAME, KILLED, SURVIVED, *([UNTRIED] if total[UNTRIED] else [])]
    lines = [
        f"{percent(total):.1f} % of {tried} mutants are killed ({datetime.now(UTC):%Y-%m-%d}).",
        "",
        f"| module | mutants | {' | '.join(columns)} | score |",
        "|---|---:|" + "---:|" * len(columns) + "---:|",
    ]
    for module, each in [*sorted(counts.items()), ("**all**", total)]:
        figures = [each.total(), *[each[column] for column in columns], f"{percent(each):.0f} %"]
        lines.append(f"| {module if '*' in module else f'`{module}`'} | {' | '.join(map(str, figures))} |")
    survivors = [f"| `{each.place}` | {_code(each.change)} |" for each in found if each.status == SURVIVED]
    if survivors:
        lines += [
            "",
            "## Survivors",
            "",
            "| in | the line as changed, or the line that is gone |",
            "|---|---|",
            *survivors,
        ]
    lines += ["", "## Equivalent mutants", "", "| in | the line as changed | why no test can tell |", "|---|---|---|"]
    listed = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    lines += [f"| `{each['in']}` | {_code(each['change'])} | {each['why']} |" for each in listed]
    return "\n".join(lines)


def _code(text: str) -> str:
    return "`` " + text.replace("|", "\\|") + " ``"


def main() -> int:
    """Write the page; return 1 if the score is too low or some mutants were not tried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, required=True)
    to = parser.parse_args().write
    found = list(mutants())
    text = to.read_text()
    to.write_text(text[: text.index(BEGIN)] + f"{BEGIN}\n{page(found)}\n{END}" + text[text.index(END) + len(END) :])
    counts = Counter(each.status for each in found)
    print(f"{percent(counts):.1f} % of the mutants are killed, {counts[UNTRIED]} were not tried; {to} has the table")
    return 0 if percent(counts) >= LEAST and not counts[UNTRIED] else 1


if __name__ == "__main__":
    sys.exit(main())
