"""Timers of a partition: in the order of their times, in memory only the next ones."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.messages.envelope import instant_of
from tables import timers
from tables.disk import DiskRows, Memory
from tables.orders import CODEC
from tables.rows import MemoryRows, Rows
from tables.store import Changes, Entries
from tables.timers import TIMER, Timer, Timers, entry_of, move, time_of, timer_key

Make = Callable[[], Rows]


@pytest.fixture(params=["memory", "disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    made: list[Any] = []

    def rows() -> Rows:
        if request.param == "memory":
            return MemoryRows()
        made.append(DiskRows(tmp_path / str(len(made)), "topic", Memory(1 << 20, 1)))
        return made[-1]  # type: ignore[no-any-return]

    yield rows
    for each in made:
        each.close()


def at(second: int) -> str:
    return instant_of(1_800_000_000 + second)


def put(entries: Entries[Any], *changed: tuple[bytes, bool]) -> None:
    changes: Changes[Any] = Changes(entries)
    for key, is_set in changed:
        changes.put(key, TIMER if is_set else None)
    changes.encode()
    changes.merge()


def test_a_key_says_when_which_entry_is_due() -> None:
    key = timer_key(at(1), b"product/order%2F1/line")
    assert (time_of(key), entry_of(key)) == (at(1), b"product/order%2F1/line")
    assert CODEC.decode(key, CODEC.encode(TIMER)) == Timer()


def test_timers_are_due_in_order_from_their_time_on(make: Make) -> None:
    entries = Entries(CODEC, make())
    keys = [timer_key(at(second), b"o") for second in (5, 3, 9, 3_600)]
    put(entries, *((key, True) for key in keys))
    assert entries.timers.due(at(2), 10) == []
    assert entries.timers.due(at(5), 10) == [keys[1], keys[0]]
    assert entries.timers.due(at(9), 2) == [keys[1], keys[0]]
    assert entries.timers.seconds(1_800_000_000) == 3
    assert entries.timers.seconds(1_800_000_004) == -1
    assert [entries.timers.late(1_800_000_000 + second) for second in (2, 3, 5)] == [0, 0, 2]
    put(entries, (keys[1], False), (keys[0], False))
    assert entries.timers.due(at(9), 10) == [keys[2]]


def test_other_entries_are_not_timers(make: Make) -> None:
    rows = make()
    rows.write({b"/due": b"{}", b"/dueling": b"{}", b"due": b"{}", b"/e": b"{}"}, None)
    assert Timers(rows).seconds(0) is None
    assert Timers(rows).late(2e9) == 0
    assert Timers(rows).due(at(0), 10) == []


def test_only_the_next_timers_are_in_memory(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "LOADED", 3)
    rows = make()
    keys = [timer_key(at(second), b"o-%d" % second) for second in range(20)]
    rows.write(dict.fromkeys(keys[::2], b"{}"), None)
    entries = Entries(CODEC, rows)
    assert len(entries.timers.due(at(99), 99)) == 3
    put(entries, *((key, True) for key in keys[1::2]))
    seen = []
    while some := entries.timers.due(at(99), 2):
        assert len(entries.timers._next) <= 6
        seen += some
        put(entries, *((key, False) for key in some))
    assert seen == keys


def test_a_postponed_timer_does_not_delay_others() -> None:
    moment = [100.0]
    rows = MemoryRows({timer_key(at(second), b"o"): b"{}" for second in (1, 2)})
    found = Timers(rows, lambda: moment[0])
    first, second = found.due(at(9), 9)
    found.postpone(first, 60)
    assert found.due(at(9), 9) == [second]
    found.postpone(second, 30)
    assert found.due(at(9), 9) == []
    assert found.seconds(1_800_000_009) == 30
    assert found.late(1_800_000_009) == 8
    moment[0] += 60
    assert found.due(at(9), 9) == [first, second]
    found.postpone(first, 60)
    found.changed(first, False)
    assert found.due(at(9), 9) == [second]


def test_postponed_timers_do_not_delay_timers_that_are_not_in_memory(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "LOADED", 3)
    entries = Entries(CODEC, make())
    keys = [timer_key(at(second), b"o-%d" % second) for second in range(9)]
    put(entries, *((key, True) for key in keys))
    for key in keys[:7]:
        assert entries.timers.due(at(99), 1) == [key]
        entries.timers.postpone(key, 60)
    assert entries.timers.seconds(1_800_000_000) == 7
    assert entries.timers.due(at(99), 9) == keys[7:]
    put(entries, *((key, False) for key in keys[7:]))
    later = timer_key(at(20), b"later")
    put(entries, (later, True))
    assert entries.timers.due(at(99), 9) == [later]


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [(None, None, []), (at(1), at(1), []), (None, at(1), [1]), (at(1), None, [1]), (at(1), at(2), [1, 2])],
)
def test_an_entry_has_at_most_one_timer(before: str | None, after: str | None, keys: list[int]) -> None:
    changes: Changes[Any] = Changes(Entries(CODEC))
    move(changes, b"o", before, after)
    assert sorted(key for key, _ in changes.encode()) == [timer_key(at(each), b"o") for each in keys]


def test_timers_of_a_partition_that_was_assigned_again_are_forgotten() -> None:
    entries = Entries(CODEC, MemoryRows({timer_key(at(1), b"o"): b"{}"}))
    assert entries.timers.due(at(1), 1)
    entries.detach()
    assert entries.timers.due(at(1), 1) == []


moves = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.booleans(), st.integers(0, 4)), max_size=40)


@given(moves)
@settings(deadline=None)
def test_the_next_timers_are_those_of_the_rows(steps: list[tuple[int, int, bool, int]]) -> None:
    """Timers are set and deleted in any order, and read in between."""
    before, timers.LOADED = timers.LOADED, 2
    try:
        entries = Entries(CODEC, MemoryRows())
        there: set[bytes] = set()
        for second, number, is_set, read in steps:
            key = timer_key(at(second), b"o-%d" % number)
            put(entries, (key, is_set))
            there = there | {key} if is_set else there - {key}
            if read:
                found = entries.timers.due(at(30), read)
                assert found == sorted(there)[: len(found)]
                assert bool(found) == bool(there)
    finally:
        timers.LOADED = before
