"""Rows in memory and on disk; `test_streams_state.py` tests them with a changelog."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tables import disk
from tables.disk import RECORD, DiskRows, InUse, Memory
from tables.rows import Checkpoint, Closed, MemoryRows, Rows

TOPIC = "an id"
AT = Checkpoint(7, 1_763_000_000.0)
Open = Callable[..., DiskRows]


class Ended(Exception):
    """The process ended."""


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open the rows of a partition again, as the next process does."""

    def end(reason: str) -> None:
        raise Ended(reason)

    monkeypatch.setattr(disk, "end_process", end)
    found = list[DiskRows]()

    def open_again(partition: int = 0, topic_id: str = TOPIC) -> DiskRows:
        for rows in found:
            rows.close()
        found.append(DiskRows(tmp_path / "orders" / "0" / str(partition), topic_id, Memory(8 << 20, 4)))
        return found[-1]

    yield open_again
    for rows in found:
        rows.close()


@pytest.fixture(params=["memory", "disk"])
def rows(request: pytest.FixtureRequest, opened: Open) -> Rows:
    rows: Rows = MemoryRows() if request.param == "memory" else opened()
    rows.write({b"a": b"1", b"b/1": b"2", b"b/2": b"", b"/parked": b"3"}, AT)
    return rows


def test_rows_are_read(rows: Rows) -> None:
    assert [rows.get(b"a"), rows.get(b"b/2"), rows.get(b"b"), rows.get(b"")] == [b"1", b"", None, None]
    assert (b"a" in rows, b"b" in rows) == (True, False)


def test_a_batch_sets_and_deletes(rows: Rows) -> None:
    rows.write({b"a": b"4", b"b/1": None, b"unknown": None, b"new": b"5"}, None)
    assert dict(rows.items()) == {b"a": b"4", b"b/2": b"", b"/parked": b"3", b"new": b"5"}


def test_keys_are_found_by_their_prefix(rows: Rows) -> None:
    assert rows.keys(b"b/") == [b"b/1", b"b/2"]
    assert rows.keys(b"c") == []
    assert rows.keys(b"") == [b"/parked", b"a", b"b/1", b"b/2"]


def test_a_reader_of_all_rows_sees_no_later_change(rows: Rows) -> None:
    items = rows.items()
    rows.write({b"a": b"later", b"b/1": None, b"new": b"5"}, None)
    assert dict(items) == {b"a": b"1", b"b/1": b"2", b"b/2": b"", b"/parked": b"3"}


def test_rows_are_cleared_and_written_again(rows: Rows) -> None:
    rows.clear()
    assert (len(rows), rows.checkpoint, dict(rows.items())) == (0, None, {})
    rows.write({b"a": b"4"}, AT, bulk=True)
    rows.flush()
    assert dict(rows.items()) == {b"a": b"4"}


# --- on disk


def test_rows_and_their_checkpoint_stay(opened: Open) -> None:
    rows = opened()
    assert rows.checkpoint is None
    rows.write({b"a": b"1"}, AT)
    rows.write({b"a": b"2"}, None)
    again = opened()
    assert (dict(again.items()), again.checkpoint) == ({b"a": b"2"}, AT)


def test_rows_written_in_bulk_are_durable_before_later_ones(opened: Open, tmp_path: Path) -> None:
    rows = opened()
    rows.write({b"a": b"1"}, AT, bulk=True)
    rows.write({b"b": b"2"}, Checkpoint(8, AT.time))
    killed = shutil.copytree(rows.place, tmp_path / "killed", copy_function=copy)  # as `kill -9` leaves it
    found = _bare(killed)
    assert (found[b"a"], found[b"b"]) == (b"1", b"2")


def copy(source: str, target: str) -> None:
    """Copy a file of an open database, which deletes files that it does not need any more."""
    with suppress(FileNotFoundError):
        shutil.copy(source, target)


def _bare(place: Path) -> dict[bytes, bytes]:
    database = disk.Rdict(str(place), disk.Options(raw_mode=True))
    try:
        return dict(database.items())
    finally:
        database.close()


def test_a_reader_does_not_keep_closed_rows_open(opened: Open) -> None:
    rows = opened()
    rows.write({b"a": b"1", b"b": b"2"}, AT)
    items = rows.items()
    assert next(items) == (b"a", b"1")
    rows.clear()  # would raise `InUse`
    with pytest.raises(Closed):
        next(items)


def test_another_process_cannot_open_them(opened: Open, tmp_path: Path) -> None:
    rows = opened()
    with pytest.raises(InUse, match=r"another process uses .*orders/0/0"):
        DiskRows(rows.place, TOPIC, Memory(8 << 20, 4))
    assert rows.get(b"a") is None


def changed(rows: DiskRows, **fields: Any) -> None:
    """Change fields of the record that is on disk."""
    record = msgspec.json.decode(rows.get(RECORD) or b"") | fields
    rows.write({RECORD: msgspec.json.encode(record)}, None)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"format": 99}, "no checkpoint in a format"),
        ({"offset": None}, "no checkpoint in a format"),
        ({"topic_id": "another"}, "deleted and created again"),
        ({"home": "orders/1/0, inode 7"}, "a copy of orders/1/0, inode 7"),
        ({"manifest_bytes": 1 << 40}, "is truncated"),
    ],
)
def test_a_directory_that_is_not_certainly_right_is_discarded(
    opened: Open, caplog: pytest.LogCaptureFixture, fields: dict[str, Any], why: str
) -> None:
    rows = opened()
    rows.write({b"a": b"1"}, AT)
    changed(rows, **fields)
    again = opened()
    assert (dict(again.items()), again.checkpoint) == ({}, None)
    assert why in caplog.text
    again.write({b"b": b"1"}, AT)
    assert opened().get(b"b") == b"1"


def test_an_open_database_is_discarded_if_the_topic_was_replaced(opened: Open) -> None:
    rows = opened()
    rows.write({b"a": b"1"}, AT)
    rows.use_for(TOPIC)
    assert (rows.get(b"a"), rows.checkpoint) == (b"1", AT)
    rows.use_for("another")
    assert (rows.get(b"a"), rows.checkpoint) == (None, None)


@pytest.mark.parametrize("hardly", [shutil.copytree, os.rename])
def test_a_copied_directory_is_discarded_and_a_renamed_one_too(opened: Open, hardly: Callable[..., Any]) -> None:
    rows = opened(0)
    rows.write({b"a": b"1"}, AT)
    rows.close()
    hardly(rows.place, rows.place.with_name("1"))
    assert dict(opened(1).items()) == {}


def filled(rows: DiskRows) -> DiskRows:
    """Write enough for several files."""
    for number in range(40):
        entries = {b"%d/%d" % (number, each): os.urandom(500) for each in range(50)}
        rows.write(entries, Checkpoint(number, AT.time))
        if number in (10, 20):
            rows._db.flush()
    return rows


def test_a_database_that_was_compacted_by_level_is_used(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until now, tables were kept like that."""
    with monkeypatch.context() as patch:
        patch.setattr(disk.DBCompactionStyle, "universal", disk.DBCompactionStyle.level)
        rows = filled(opened())
        rows._db.compact_range(None, None)
        filled(rows)
    before = dict(rows.items())
    assert dict(opened().items()) == before
    rows = opened()
    assert rows.checkpoint is not None
    rows.write({b"0/0": None, b"new": b"5"}, AT)
    rows._db.compact_range(None, None)
    del before[b"0/0"]
    assert dict(opened().items()) == {**before, b"new": b"5"}


def flip(file: Path, at: float) -> None:
    """Change a byte of a file."""
    content = bytearray(file.read_bytes())
    content[int(len(content) * at)] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize("at", [0.01, 0.5, 0.99])
def test_damage_is_found_by_its_checksum_and_rebuilt(opened: Open, at: float) -> None:
    rows = filled(opened())
    rows.close()
    for file in rows.place.glob("*.sst"):
        flip(file, at)
    with pytest.raises(Ended, match="is damaged, and will be rebuilt from its changelog"):
        read_all(opened())
    assert not rows.place.exists()
    again = opened()
    assert (again.checkpoint, dict(again.items())) == (None, {})


def read_all(rows: DiskRows) -> None:
    """Read all rows in every way; end the process if damage was found and rebuilt while they were opened."""
    assert dict(rows.items())
    if rows.checkpoint is None:
        raise Ended("is damaged, and will be rebuilt from its changelog")


@pytest.mark.parametrize("kind", ["*.log", "MANIFEST-*"])
@pytest.mark.parametrize("how", [lambda file, at: os.truncate(file, int(file.stat().st_size * at)), flip])
@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.9])
def test_torn_files_leave_an_older_state_or_none(
    opened: Open, tmp_path: Path, kind: str, how: Callable[[Path, float], None], at: float
) -> None:
    """All rows before the checkpoint exist, and no others."""
    rows = filled(opened())
    written = dict(rows.items())
    home = rows.place
    killed = shutil.copytree(home, tmp_path / "killed", copy_function=copy)
    rows.close()
    for file in home.iterdir():
        file.unlink()
    for file in killed.iterdir():
        shutil.copy(file, home)  # the directory stays the same, and contains what `kill -9` leaves
    for file in home.glob(kind):
        how(file, at)
    again = opened()
    found = dict(again.items())
    until = again.checkpoint.offset if again.checkpoint else -1
    assert found == {key: row for key, row in written.items() if int(key.split(b"/")[0]) <= until}
