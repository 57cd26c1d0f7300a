"""A short comparison of two checkouts on their own stacks. The figures mean nothing here."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from bench.checkout import HERE, ROOT, cloned, commit_of
from bench.figure import Profile, Ratio
from bench.goals import verdict
from bench.report import comparison, sections, with_section
from bench.results import PartResult, Results
from bench.stacks import Stacks
from bench.suite import Sizes
from bench.turns import Turns

PARTS = ("code", "flow")
FULFILLMENT = "#!{python}\nfrom ops.cli import cli\ncli()\n"


@pytest.mark.usefixtures("processes")
def test_two_checkouts_of_the_same_commit_are_compared(tmp_path: Path) -> None:
    page, results = tmp_path / "benchmarks.md", tmp_path / "results.json"
    page.write_text("# Benchmarks\n")
    base = cloned("HEAD", tmp_path / "base")
    give_packages(base)
    command = [sys.executable, "-m", "bench.against", str(base), "--tiny", "--write", str(page)]
    command += ["--results", str(results), "--parts", *PARTS]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        try:
            said = child.communicate(timeout=1500)[0]
        finally:
            child.terminate()  # it stops its stacks first
    assert child.returncode == 0, said
    found = Results(results, go_on=True)
    ratios = {one.key: one for name in PARTS for one in found.parts[name].ratios()}
    assert all(ratios[key].median > 0 for key in ("code", "flow.rate", "flow.cpu"))
    assert "2 marks reached" in page.read_text()
    assert "whole orders: base" in page.read_text()


def give_packages(folder: Path) -> None:
    """Make a .venv in `folder` with the packages of this one, because installing them would take longer than the
    test."""
    venv.create(folder / ".venv")
    python = folder / ".venv" / "bin" / "python"
    (packages,) = (folder / ".venv").glob("lib/python*/site-packages")
    (ours,) = {path for path in map(Path, sys.path) if path.name == "site-packages"}
    (packages / "packages.pth").write_text(f"{folder}\n{ours}\n")  # its own code first
    script = python.with_name("fulfillment")
    script.write_text(FULFILLMENT.format(python=python))
    script.chmod(0o755)


@pytest.mark.usefixtures("processes")
def test_a_commit_is_cloned_unchanged(tmp_path: Path) -> None:
    folder = cloned("HEAD", tmp_path / "base")
    assert commit_of(folder) == commit_of(ROOT)
    assert (folder / "Makefile").exists()
    with pytest.raises(ValueError, match="no-such-commit is not a commit of"):
        cloned("no-such-commit", tmp_path / "none")


def test_rounds_take_turns_in_which_checkout_runs_first() -> None:
    with Stacks() as stacks:
        turns, order = Turns(HERE, Sizes(rounds=3), stacks), list[str]()

        def measure(side: str) -> int:
            order.append(side)
            return len(order)

        both = turns.measured("nothing", "a", "b", measure)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert both == ([1, 4, 5], [2, 3, 6])


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds() -> None:
    ratio = Ratio("flow.rate", "whole orders", "/s", [1000, 500, 2000], [2000, 850, 2000])
    assert ratio.ratios == [2, 1.7, 1]
    assert verdict(ratio) == ("≥ 1.70 ×", "reached")
    assert str(ratio) == "whole orders: 1,000 → 2,000 /s, 1.70 × (1.00–2.00 of 3)"


def test_the_comparison_is_a_section_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    slow, cpu = Ratio("code", "own code", "µs an order", [300], [200]), Profile("flow: base", "order", {"kafka": 0.5})
    Results(path).keep("code", PartResult("Code", "2026-11-30 10:00 UTC", "5 rounds", found=[slow, cpu]))
    section = comparison(Results(path, go_on=True), "v1", "a machine")
    assert "| own code | 300 µs an order | 200 µs an order | 0.67 × |  | ≤ 0.50 × | not reached |" in section
    assert "| kafka | 0.50 |" in section
    page = with_section("# Benchmarks\n", "against", "old")
    page = with_section(with_section(page, "pythons", "3.13"), "against", section)
    assert page.count(section) == 1
    assert "old" not in page
    assert with_section("# Benchmarks, measured again\n" + sections(page), "against", section).endswith(sections(page))
    assert json.loads(path.read_text())["code"]["found"][0]["base"] == [300]
