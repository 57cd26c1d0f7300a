"""A short run of the benchmarks on their own stacks. The figures mean nothing here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("processes")

ROOT = Path(__file__).parents[2]
PARTS = ("code", "decide", "flow", "queries")


def test_the_suite_measures_and_writes_its_page(tmp_path: Path) -> None:
    page, results = tmp_path / "benchmarks.md", tmp_path / "results.json"
    command = [sys.executable, "-m", "bench", *PARTS, "--tiny", "--write", str(page), "--results", str(results)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        try:
            said = child.communicate(timeout=1500)[0]
        finally:
            child.terminate()  # it stops its stacks first
    assert child.returncode == 0, said
    found = json.loads(results.read_text())
    assert list(found) == list(PARTS)
    figures = {
        figure["key"]: figure["values"] for part in found.values() for figure in part["found"] if "key" in figure
    }
    assert all(figures[key][0] > 0 for key in ("decide.rate", "decide.ratio", "flow.rate", "queries.page.rate"))
    assert "goals reached" in page.read_text()
    assert "| kafka |" in page.read_text()


def test_a_part_that_does_not_exist_is_refused() -> None:
    command = [sys.executable, "-m", "bench", "speed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "unknown part speed; choose from code, decide" in done.stderr
