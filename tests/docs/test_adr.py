"""The decision records: numbers, sections, status, index and links."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from decisions import FOLDER, INDEX, INVERSE, LINK, ROOT, Decision, decisions, with_table

DECISIONS = decisions()
NUMBERS = [decision.number for decision in DECISIONS]
SECTIONS = ["Context", "Decision", "Consequences"]
MOST_WORDS = 300
BENCHMARKS = ROOT / "docs/benchmarks.md"
MEASUREMENTS = sorted((ROOT / "docs/benchmarks").glob("*.md"))
LINKED = [*(decision.path for decision in DECISIONS), INDEX, BENCHMARKS, *MEASUREMENTS]
PACKAGES = "agents bench docs domain ops parking projections streams tables tests web webhooks".split()
MODULE = re.compile(rf"`((?:{'|'.join(PACKAGES)})/[\w/]*(?:\.py|/))`")
# The decisions' numbers where they are mentioned without a link: `ADR 5`, `docs/adr/0026`.
MENTION = re.compile(r"\bADRs? (\d+)\b|\badr/(\d{4})\b")

each = pytest.mark.parametrize("decision", DECISIONS, ids=lambda decision: decision.path.name)


def slug(title: str) -> str:
    """Return `title` as it is in file names and, for ASCII headings, in anchors."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    """Yield the links of a page that lead to no file, or to no heading of one."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            yield target


def test_numbers_have_no_holes_and_no_twins() -> None:
    assert list(range(1, len(NUMBERS) + 1)) == NUMBERS


@each
def test_a_decision_is_named_after_its_title(decision: Decision) -> None:
    assert decision.text.startswith(f"# {decision.number}. {decision.title}\n")
    assert decision.path.name == f"{decision.number:04}-{slug(decision.title)}.md"


@each
def test_a_decision_has_the_sections_of_the_template(decision: Decision) -> None:
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", decision.date)
    assert re.match(r"(Proposed|Accepted|Superseded by )", decision.status)
    _, *parts = re.split(r"^## ", decision.text, flags=re.MULTILINE)
    sections = dict(part.split("\n", 1) for part in parts)
    assert list(sections) == SECTIONS
    assert all(body.strip() for body in sections.values())


def test_the_template_has_the_sections_that_are_checked() -> None:
    template = Decision(FOLDER / "template.md")
    assert re.findall(r"^## (.+)$", template.text, re.MULTILINE) == SECTIONS
    assert template.status
    assert template.date


@each
def test_a_decision_is_about_a_page(decision: Decision) -> None:
    assert len(decision.text.split()) <= MOST_WORDS, "move measurements to docs/benchmarks"


def test_superseded_and_amended_decisions_are_linked_both_ways() -> None:
    stated = {(kind, d.number, other) for d in DECISIONS for kind, other in d.relations}
    forward = {(INVERSE[kind], other, number) for kind, number, other in stated if kind in INVERSE}
    backward = {relation for relation in stated if relation[0] not in INVERSE}
    assert forward == backward
    assert len(stated) >= 2


@each
def test_a_status_names_the_decisions_it_links_to(decision: Decision) -> None:
    links = LINK.findall(decision.status)
    assert len(links) == len(decision.relations) == decision.status.count("](")
    assert all(target.startswith(f"{int(number):04}-") for number, target in links)


def test_the_index_lists_all_decisions() -> None:
    text = INDEX.read_text()
    assert with_table(text) == text, "run .venv/bin/python tests/docs/decisions.py"
    assert all(f"({decision.path.name})" in text for decision in DECISIONS)


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_of_decisions_and_measurements_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


@each
def test_modules_that_a_decision_names_exist(decision: Decision) -> None:
    assert [module for module in MODULE.findall(decision.text) if not (ROOT / module).exists()] == []


@pytest.mark.parametrize("page", MEASUREMENTS, ids=lambda page: page.name)
def test_measurements_belong_to_a_decision_and_say_how_they_are_made(page: Path) -> None:
    assert any(f"../benchmarks/{page.name}" in decision.text for decision in DECISIONS)
    assert f"(benchmarks/{page.name})" in BENCHMARKS.read_text()
    assert re.search(r"`(python -m bench|make bench)", page.read_text())


def test_decisions_mentioned_elsewhere_exist() -> None:
    files = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
    files += [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    mentions = {
        (str(path.relative_to(ROOT)), int(number or linked))
        for path in files
        for number, linked in MENTION.findall(path.read_text())
    }
    assert len(mentions) > 10
    assert {mention for mention in mentions if mention[1] not in NUMBERS} == set()
