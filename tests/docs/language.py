"""Check that everything people read is plain English: no pattern of language.toml occurs in it.

Run `.venv/bin/python -m tests.docs.language [PATHS]` for the findings in the given files and directories, or in all
files.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.docs.prose import Prose, read

ROOT = Path(__file__).parents[2]


class Pattern(NamedTuple):
    """A pattern to avoid in texts of all kinds except `skipped`, or only in the kinds in `only`."""

    name: str
    regex: re.Pattern[str]
    instead: str
    only: tuple[str, ...]
    skipped: tuple[str, ...]
    finds: tuple[str, ...]
    accepts: tuple[str, ...]

    def found(self, prose: Prose) -> Iterator[re.Match[str]]:
        """Yield the occurrences of the pattern in `prose`."""
        if prose.kind not in self.skipped and (not self.only or prose.kind in self.only):
            yield from self.regex.finditer(prose.text)


def _pattern(entry: dict[str, str | list[str]]) -> Pattern:
    return Pattern(
        str(entry["name"]),
        re.compile(str(entry["regex"]), re.IGNORECASE),
        str(entry["instead"]),
        *(tuple(entry.get(key, ())) for key in ("only", "except", "finds", "accepts")),
    )


with (Path(__file__).parent / "language.toml").open("rb") as file:
    PATTERNS = [_pattern(entry) for entry in tomllib.load(file)["pattern"]]


def findings(texts: Iterable[Prose]) -> Iterator[tuple[int, str]]:
    """Yield the line of each occurrence of a pattern in `texts`, and a sentence about it."""
    for prose in texts:
        for pattern in PATTERNS:
            for found in pattern.found(prose):
                start = max(0, found.start() - 30)
                quoted = prose.text[start : found.start() + 70].strip()
                yield prose.line(found.start()), f"{pattern.name}: {quoted!r}; write {pattern.instead}"


def sources(*paths: str) -> list[Path]:
    """Return the files of this project at or below `paths` (relative to the root), or all files."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return [ROOT / name for name in listed if "/vendor/" not in name and (ROOT / name).is_file()]


def report(paths: Iterable[Path]) -> list[str]:
    """Return one line of text for each finding in the files at `paths`."""
    return [
        f"{path.relative_to(ROOT)}:{line}: {sentence}"
        for path in paths
        for line, sentence in sorted(findings(read(path)))
    ]


def main(paths: list[str]) -> int:
    """Print the findings in `paths`; return 1 if there are any."""
    found = report(sources(*paths))
    print(*found, sep="\n", end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
