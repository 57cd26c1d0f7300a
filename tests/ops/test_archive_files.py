"""The files of an archive, and how its ends are extended, without servers."""

import gzip
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import orjson
import pytest
from aiokafka import ConsumerRecord

from ops.archive import cut as cuts
from ops.archive.exporting import Awaited, _Archive, _identified
from ops.archive.files import BadArchive, File, Line, Manifest, Writer, lines, read_manifest, verify, write_manifest
from ops.errors import Misconfigured
from ops.progress import silent
from parking.letter import DeadLetter
from streams.messages.codec import RecordAt, decode_command
from streams.messages.envelope import derived_id
from streams.runtime.settings import Settings
from streams.topology import AGGREGATES

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


def taking(causes: dict[str, str], events: dict[str, tuple[cuts.Place, str]]) -> cuts._Taking:
    """Return what was read while a cut is made: command → the event that caused it; event → place and command."""
    found = cuts._Taking.__new__(cuts._Taking)
    found.causes = dict(causes)
    found.events = {name: cuts._Event(place, cause) for name, (place, cause) in events.items()}
    return found


def test_the_ends_are_extended_until_every_cause_is_included() -> None:
    events = {
        "placed": (("order-events", 0, 5), "place"),
        "reserved": (("inventory-events", 1, 7), "reserve"),
        "recorded": (("order-events", 3, 9), "record"),
        "later": (("order-events", 3, 10), "hold"),
    }
    found = taking({"reserve": "placed", "record": "reserved"}, events)
    ends = {"order-events": {0: 5, 3: 10}, "inventory-events": {1: 7}}
    found._extend(ends)
    assert ends == {"order-events": {0: 6, 3: 10}, "inventory-events": {1: 8}}
    cut = cuts.Cut({})
    found._divide(ends, cut)
    assert (cut.decided, cut.beyond) == ({"place", "reserve", "record"}, {"later"})


def test_all_events_of_a_command_are_included_or_none() -> None:
    filled = {f"filled-{n}": (("inventory-events", 1, 7 + n), "fill") for n in range(3)}
    events = {
        "recorded": (("order-events", 3, 9), "record"),
        "received": (("inventory-events", 1, 6), "receive"),
        "later": (("inventory-events", 1, 10), "adjust"),
        **filled,
    }
    found = taking({"fill": "received", "record": "filled-0"}, events)
    by_cause = {"order-events": {3: 10}, "inventory-events": {1: 6}}  # an event in the cut was caused by the first
    between = {"order-events": {3: 9}, "inventory-events": {1: 9}}  # the ends were read within a transaction
    for ends in (by_cause, between):
        found._extend(ends)
        assert ends["inventory-events"] == {1: 10}
        cut = cuts.Cut({})
        found._divide(ends, cut)
        assert filled.keys().isdisjoint(cut.beyond)
        assert {"receive", "fill"} <= cut.decided

    before = {"order-events": {3: 9}, "inventory-events": {1: 7}}
    found._extend(before)
    assert before["inventory-events"] == {1: 7}


# --- undecided commands


def command(offset: int, **envelope: Any) -> Any:
    """Return a command as the export reads it."""
    value = orjson.dumps({"type": "AdjustStock", "data": {"delta": 1, "reason": "found"}, **envelope})
    return ConsumerRecord("inventory-commands", 2, offset, 1_700_000_000_000, 0, b"boots", value, None, 5, 1, ())


def letter(offset: int, command_id: str, key: bytes = b"another", value: bytes = b"{}") -> DeadLetter:
    """Return a letter about the command that had an offset."""
    time = "2026-11-30T10:00:00.000Z"
    return DeadLetter("parked", "inventory-commands", 2, offset, key, value, (), "?", "?", time, command_id=command_id)


def test_commands_are_pending_unless_their_result_or_their_letter_is_in_the_cut() -> None:
    cut = cuts.Cut({}, decided={"decided", "twice"}, beyond={"later"}, shared={"twice"})
    cut.add_letter("inventory-commands", letter(4, "parked"))
    cut.add_letter("inventory-commands", letter(6, "before-the-import"))
    caused = {"source": "fulfilment", "causationid": "later"}
    records = [
        command(0, id="waiting"),
        command(1, id="decided"),
        command(2, id="twice"),  # two producers gave the same id: the aggregate knows which of them it decided
        command(3, id="caused", **caused),
        command(4, id="parked"),
        command(5, id="foreign", causationid="later"),  # another system's reaction to an event is a command of its own
        command(6, id="new"),  # an imported letter names the place that its command had before
        command(7, id=["not", "an", "id"]),
    ]
    cut.add_letter("inventory-commands", letter(7, "of the offset", records[7].key, records[7].value))
    found = [each.offset for each in records if cut.has_pending("inventory-commands", each)]
    assert found == [0, 2, 5, 6]


def test_a_key_names_only_a_command_that_is_in_the_archive() -> None:
    awaited = Awaited({"archived", "later"})
    awaited.found("archived")
    awaited.found("not awaited")
    keys = [{"_id": name, "sent": name, "answer": {"status": 202}} for name in ("archived", "later", "unknown")]
    keys.append({"_id": "of an earlier version"})
    found = [awaited.exported(key) for key in keys]
    assert [key["sent"] for key in found] == ["archived", None, None, None]
    assert {key["answer"] for key in found} == {None}


def test_a_command_without_an_id_keeps_the_one_of_its_offset() -> None:
    before = command(7)
    line = Line.of(_identified(before))
    at = RecordAt("copy.inventory-commands", 2, 0, 1.0, b"boots")
    takes = AGGREGATES["inventory"]
    found = decode_command(line.raw_value(), at, takes.types, takes.id_field, tuple(line.raw_headers()))
    original = decode_command(before.value, at, takes.types, takes.id_field)
    assert found.id == derived_id("inventory-commands", 2, 7) != original.id
    assert (found.digest(), found.source, found.key) == (original.digest(), original.source, original.key)
    assert line.raw_value() == before.value
