"""The files of an archive, and how its ends are extended, without servers."""

import gzip
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from ops.archive import cut as cuts
from ops.archive.exporting import _Archive
from ops.archive.files import BadArchive, File, Line, Manifest, Writer, lines, read_manifest, verify, write_manifest
from ops.errors import Misconfigured
from ops.progress import silent
from streams.runtime.settings import Settings

RAW: list[tuple[Any, Any]] = [
    (b"order-1", b'{"id":"1",  "data":{"price":12.50,"a":1,"a":2}}'),  # neither spaces nor a repeated name may change
    (b"order-1", b'{\n "id": "2"}'),
    (b"order-2", b'"\xc3\xa9\\u00e9" '),
    ("größe".encode(), b""),
    (b"\xff\xfe", b"\x00\xff"),
    (None, None),
    (b"", b"null"),
]


def record(key: bytes | None, value: bytes | None, offset: int = 0, partition: int = 0) -> Any:
    headers = (("content-type", b"application/json"), ("raw", b"\xff"), ("empty", None))
    return SimpleNamespace(
        key=key, value=value, headers=headers, partition=partition, offset=offset, timestamp=1_700_000_000_123
    )


def archive(folder: Path) -> Manifest:
    """Write an archive with one file."""
    writer = Writer(folder, "order-events", "order-events")
    for offset, (key, value) in enumerate(RAW):
        writer.write(msgspec.json.encode(Line.of(record(key, value, offset))))
    files = [writer.close({0: 0}, {0: 9})]
    manifest = Manifest(1, "2026-11-30T10:00:00.000Z", 8, "", None, files)
    write_manifest(folder, manifest)
    return manifest


def test_records_are_the_same_byte_for_byte(tmp_path: Path) -> None:
    archive(tmp_path)
    found = list(lines(tmp_path / "order-events.ndjson.gz"))
    assert [(line.raw_key(), line.raw_value()) for line in found] == RAW
    assert [line.offset for line in found] == list(range(len(RAW)))
    assert found[0].raw_headers() == list(record(None, None).headers)


def test_an_archive_is_ndjson_that_other_tools_can_read(tmp_path: Path) -> None:
    archive(tmp_path)
    with gzip.open(tmp_path / "order-events.ndjson.gz") as file:
        first = msgspec.json.decode(next(file))
    assert (first["key"], first["value"]["data"]["price"]) == ("order-1", 12.50)


def test_a_whole_archive_is_accepted(tmp_path: Path) -> None:
    archive(tmp_path)
    verify(tmp_path, read_manifest(tmp_path))


@pytest.mark.parametrize("at", [0, 30, -1])
def test_a_damaged_file_is_refused(tmp_path: Path, at: int) -> None:
    archive(tmp_path)
    path = tmp_path / "order-events.ndjson.gz"
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(BadArchive, match="gz is damaged"):
        verify(tmp_path, read_manifest(tmp_path))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    archive(tmp_path)
    (tmp_path / "order-events.ndjson.gz").unlink()
    with pytest.raises(BadArchive, match="is missing"):
        verify(tmp_path, read_manifest(tmp_path))


def test_a_count_that_does_not_match_is_refused(tmp_path: Path) -> None:
    manifest = archive(tmp_path)
    (tmp_path / "manifest.json").unlink()
    file: File = manifest.files[0]
    manifest.files[0] = msgspec.structs.replace(file, records=file.records + 1)
    write_manifest(tmp_path, manifest)
    with pytest.raises(BadArchive, match="has 7 records, and the manifest says 8"):
        verify(tmp_path, read_manifest(tmp_path))


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ('"records": 7', '"records": 6', "was changed"),
        ('"format": 1', '"format": 2', "has format 2"),
        ("{", "", "is damaged"),
    ],
)
def test_a_changed_manifest_is_refused(tmp_path: Path, before: str, after: str, why: str) -> None:
    archive(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(BadArchive, match=why):
        read_manifest(tmp_path)


def test_an_interrupted_export_leaves_no_files(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    with suppress(KeyboardInterrupt), _Archive(Settings(), folder, silent).opened() as unfinished:
        unfinished._writer("order-events", "order-events").write(b"{}")
        raise KeyboardInterrupt
    assert list(folder.iterdir()) == []
    with pytest.raises(BadArchive, match="is not a complete archive"):
        read_manifest(folder)


def test_a_directory_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with (
        pytest.raises(Misconfigured, match="is not empty: name a new directory"),
        _Archive(Settings(), tmp_path, silent).opened(),
    ):
        pass
    assert (tmp_path / "notes.txt").exists()


# --- extending the ends


def test_the_ends_are_extended_until_every_cause_is_included() -> None:
    causes = {"reserve": "placed", "record": "reserved"}  # command → the event that caused it
    events = {
        "placed": (("order-events", 0, 5), "place"),
        "reserved": (("inventory-events", 1, 7), "reserve"),
        "recorded": (("order-events", 3, 9), "record"),
        "later": (("order-events", 3, 10), "hold"),
    }
    taking = cuts._Taking.__new__(cuts._Taking)
    taking.causes = dict(causes)
    taking.events = {name: cuts._Event(place, cause) for name, (place, cause) in events.items()}
    ends = {"order-events": {0: 5, 3: 10}, "inventory-events": {1: 7}}
    taking._extend(ends)
    assert ends == {"order-events": {0: 6, 3: 10}, "inventory-events": {1: 8}}
    cut = cuts.Cut({})
    taking._divide(ends, cut)
    assert (cut.decided, cut.beyond) == ({"place", "reserve", "record"}, {"later"})
