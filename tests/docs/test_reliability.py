"""The tests that docs/reliability/rules.md names for each rule exist."""

import re
from collections.abc import Iterator

from decisions import ROOT

PAGE = (ROOT / "docs/reliability/rules.md").read_text()
CITED = re.compile(r"`(test_\w+)`(?:: ((?:·? ?`[a-z_]+…?`(?:, )?)+))?")


def cited() -> Iterator[tuple[str, str]]:
    """Yield each test module that the page names, with the names of its tests or their beginnings."""
    for module, tests in CITED.findall(PAGE):
        yield module, ""
        yield from ((module, name) for name in re.findall(r"`([a-z_]+)…?`", tests))


def test_the_tests_of_the_rules_exist() -> None:
    sources = {path.stem: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    found = list(cited())
    assert len(found) > 50
    assert [(module, name) for module, name in found if f"def test_{name}" not in sources.get(module, "")] == []


def test_every_rule_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith(("| rule", "|---"))]
    assert len(rows) > 30
    assert [row for row in rows if "`test_" not in row] == []
