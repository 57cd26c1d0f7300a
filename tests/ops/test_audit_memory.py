"""An audit keeps a limited amount in memory: more goes to RocksDB and to buckets, and comes back complete."""

from pathlib import Path

import pytest

from ops.audit.buckets import Buckets, buckets_for, digest, digests, lines
from ops.audit.event_ids import suspects
from ops.audit.groups import Groups
from ops.kafka.records import BulkRecord

Read = dict[bytes, tuple[list[tuple[int, int, bytes | None]], list[tuple[bytes, bytes]]]]
IDS = [b"a", b"b", b"b/1", b"\xc3\xbc", b"", b"a" * 300]


def collected(folder: Path, limit: int, twice: bool = False) -> tuple[bool, Read]:
    """Collect events of several aggregates in turn, and entries; return whether they were spilled, and what is read."""
    with Groups(3, folder / "spill", limit) as groups:
        for offset in range(100):
            owner = IDS[offset % len(IDS)]
            groups.add_event(owner, BulkRecord(owner, b"event %d" % offset, 3, offset, 1_000 + offset))
        for attempt in range(2 if twice else 1):
            groups.forget_entries()
            for number in range(20):
                owner = IDS[number % 2]
                groups.add_entry(owner, (owner + b"/%d" % number, b"entry %d of attempt %d" % (number, attempt)))
            for number in range(0, 20, 5):
                owner = IDS[number % 2]
                groups.add_entry(owner, (owner + b"/%d" % number, None if number % 2 else b"changed"))
        groups.add_entry(b"no events", (b"no events", b"{}"))
        spilled = groups.spilled
        read = {
            group.id: ([(each.offset, each.timestamp, each.value) for each in group.events], sorted(group.entries))
            for group in groups
        }
    assert not (folder / "spill").exists(), "temporary files are deleted"
    return spilled, read


@pytest.mark.parametrize("twice", [False, True], ids=["once", "again after an interruption"])
def test_aggregates_are_the_same_in_memory_and_in_rocksdb(tmp_path: Path, twice: bool) -> None:
    spilled, read = collected(tmp_path, limit=1 << 20, twice=twice)
    assert not spilled
    assert [offset for offset, _, _ in read[b"b/1"][0]] == list(range(2, 100, len(IDS)))
    entries = dict(read[b"a"][1]) | dict(read[b"b"][1])
    assert len(entries) == 18, "two entries were deleted"
    assert {key for key, value in entries.items() if value == b"changed"} == {b"a/0", b"a/10"}
    for limit in (0, 100, 1_000):
        assert collected(tmp_path, limit, twice) == (True, read)


def test_an_aggregate_that_is_not_read_completely_is_skipped(tmp_path: Path) -> None:
    with Groups(0, tmp_path / "spill", 0) as groups:
        for offset in range(10):
            groups.add_event(b"%d" % (offset % 2), BulkRecord(None, b"{}", 0, offset, 0))
        assert [group.id for group in groups] == [b"0", b"1"]


def test_facts_about_one_id_are_in_one_bucket(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
        buckets = Buckets(folder, 4)
        for number in range(20_000):
            buckets.add("texts", f"id-{number}", b"%s %d" % (folder.name.encode(), number))
            buckets.add_id("ids", f"{folder.name}-{number}" if number else "the same")
        buckets.close()
    found = [list(lines(folders, "texts", number)) for number in range(4)]
    assert sum(map(len, found)) == 40_000
    for bucket in found:
        numbers = [raw.split()[1] for raw in bucket]
        assert sorted(numbers[: len(numbers) // 2]) == sorted(numbers[len(numbers) // 2 :])
    same = [suspects(digests(folders, "ids", number)) for number in range(4)]
    assert set().union(*same) == {digest("the same")}


@pytest.mark.parametrize(("facts", "count"), [(0, 1), (500_000, 1), (500_001, 2), (50_000_000, 128), (10**12, 256)])
def test_there_are_as_many_buckets_as_memory_needs(facts: int, count: int) -> None:
    assert buckets_for(facts) == count
