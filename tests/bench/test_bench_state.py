"""The small form of the benchmark of tables on disk: what it counts is checked, its rates mean nothing here."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("processes")
ROOT = Path(__file__).parents[2]


def test_a_table_of_many_orders_needs_little_memory_and_is_not_read_again_after_a_crash(tmp_path: Path) -> None:
    page = tmp_path / "state.md"
    sizes = ("--orders", "200000", "--commands", "2000", "--rounds", "1")
    command = [sys.executable, "-m", "bench", "state", *sizes, "--write", str(page)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        try:
            said = child.communicate(timeout=900)[0]
        finally:
            child.terminate()  # it stops its stacks first
    assert child.returncode == 0, said
    found = dict(re.findall(r"^\| (.+?) \| ([\d.,]+)", page.read_text(), re.MULTILINE))
    figures = {what: float(figure.replace(",", "")) for what, figure in found.items()}
    assert figures["orders written to the changelog"] == 200_000
    assert figures["memory of the worker, at most"] < 512, said
    assert figures["records read from the changelog then"] < 10_000, said
