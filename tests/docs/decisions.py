"""The decision records in docs/adr. Run as a script, this writes the table in their README."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "adr"
INDEX = FOLDER / "README.md"
INVERSE = {"superseded by": "supersedes", "amended by": "amends"}
TABLE = re.compile(r"(?<=<!-- table: decisions -->\n).*(?=<!-- end -->)", re.DOTALL)
RELATION = re.compile(r"(superseded by|supersedes|amended by|amends) ((?:\[ADR \d+\]\([^)]+\)(?: and |, )?)+)", re.I)
LINK = re.compile(r"\[ADR (\d+)\]\(([^)]+)\)")


@dataclass(frozen=True)
class Decision:
    """One file of docs/adr."""

    path: Path

    @property
    def number(self) -> int:
        """Return the number in the file name."""
        return int(self.path.name[:4])

    @cached_property
    def text(self) -> str:
        """Return the Markdown."""
        return self.path.read_text()

    @property
    def title(self) -> str:
        """Return the heading without its number."""
        return self.text.split("\n", 1)[0].removeprefix(f"# {self.number}. ")

    @property
    def status(self) -> str:
        """Return the status with its links."""
        return self._field("Status")

    @property
    def date(self) -> str:
        """Return the date of the decision, as YYYY-MM-DD."""
        return self._field("Date")

    @property
    def relations(self) -> set[tuple[str, int]]:
        """Return what the status says of other decisions, such as `("amends", 3)`."""
        return {
            (kind.lower(), int(number))
            for kind, links in RELATION.findall(self.status)
            for number, _ in LINK.findall(links)
        }

    def _field(self, name: str) -> str:
        found = re.search(rf"^- {name}: (.+)$", self.text, re.MULTILINE)
        if found is None:
            raise ValueError(f"{self.path} has no line '- {name}: …'")
        return found[1]


def decisions() -> list[Decision]:
    """Return all decisions by number."""
    return [Decision(path) for path in sorted(FOLDER.glob("[0-9]*.md"))]


def table() -> str:
    """Return the index of all decisions, as Markdown."""
    rows = [f"| {d.number} | [{d.title}]({d.path.name}) | {d.status} | {d.date} |\n" for d in decisions()]
    return "| | decision | status | date |\n|---:|---|---|---|\n" + "".join(rows)


def with_table(text: str) -> str:
    """Return the README with today's table."""
    return TABLE.sub(lambda _: table(), text)


if __name__ == "__main__":
    INDEX.write_text(with_table(INDEX.read_text()))
