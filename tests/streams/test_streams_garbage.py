"""The collector of cycles runs between fetches, and what has outlived them is found all the same."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from streams.runtime import garbage


class Cycle:
    """Objects that only the collector can find."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def runs() -> Iterator[list[int]]:
    """Yield the generation of each run of the collector, which is as in a worker meanwhile."""
    before, runs = gc.get_threshold(), list[int]()

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            runs.append(info["generation"])

    garbage.configure()
    gc.callbacks.append(note)
    yield runs
    gc.callbacks.remove(note)
    gc.unfreeze()
    gc.set_threshold(*before)


def outlive() -> list[list[int]]:
    """Return more than enough objects to be looked at."""
    return [[number] for number in range(2 * garbage.SURVIVORS)]


def test_objects_that_a_fetch_makes_are_not_visited(runs: list[int]):
    made = outlive()
    assert runs == [], f"{len(made)} objects were visited"


def test_cycles_are_found_once_enough_has_outlived_its_fetch(runs: list[int]):
    cycle = weakref.ref(Cycle())
    garbage.collect()
    assert runs == [], "nothing much has survived yet"
    assert cycle() is not None
    survivors = outlive()
    garbage.collect()
    assert runs == [0], f"{len(survivors)} objects have survived"
    assert cycle() is None


def test_cycles_that_outlived_a_look_are_found_later(runs: list[int]):
    alive = Cycle()
    gc.collect(0)
    cycle = weakref.ref(alive)
    del alive
    for _ in range(garbage.MIDDLE):
        survivors = outlive()
        garbage.collect()
        del survivors
    assert runs == [*[0] * garbage.MIDDLE, 1]
    assert cycle() is None
