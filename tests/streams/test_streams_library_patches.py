"""Private parts of libraries that we use: they are in one file, and tested to exist."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from streams.kafka import library_patches
from streams.kafka.library_patches import PRIVATE, VERSIONS

ROOT = Path(library_patches.__file__).parents[2]
HERE = Path(library_patches.__file__)
CODE = ("agents", "bench", "domain", "ops", "parking", "privacy", "projections", "streams", "tables", "web")
NAMES = {name for names in PRIVATE.values() for name in names}
OURS = {"self", "cls"}


@pytest.mark.parametrize("library", VERSIONS)
def test_the_library_is_of_the_version_that_was_read(library: str) -> None:
    assert version(library) == VERSIONS[library], (
        f"{library} was upgraded: read what it changed of {HERE.name}, run the test of each patch, and update VERSIONS"
    )


@pytest.mark.parametrize("place", PRIVATE)
def test_the_library_has_what_is_used_of_it(place: str) -> None:
    module, _, name = place.partition(":")
    kind = getattr(import_module(module), name)
    source = inspect.getsource(kind)
    missing = [each for each in PRIVATE[place] if not hasattr(kind, each) and f"self.{each}" not in source]
    assert not missing, f"{place} has no {missing}"


def private_reads(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each private attribute that is read of an object other than `self`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            owner = node.value
            if not (isinstance(owner, ast.Name) and owner.id in OURS):
                yield node.lineno, node.attr


def test_no_other_file_reads_the_insides_of_aiokafka() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for room in CODE
        for path in (ROOT / room).rglob("*.py")
        if path != HERE and "aiokafka" in path.read_text()
        for line, name in private_reads(path)
        if name in NAMES
    ]
    assert found == []


def test_private_names_that_are_read_here_are_listed() -> None:
    assert {name for _, name in private_reads(HERE)} <= NAMES
