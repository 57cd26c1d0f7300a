"""An archive: a directory with one gzip file of NDJSON per topic, and `manifest.json`, which is written last.

BadArchive                     a directory is not an archive, or is damaged
"""

import gzip
import hashlib
import os
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
from msgspec import UNSET, Raw, Struct, UnsetType

from ops.errors import CommandFailed
from ops.progress import ShowProgress, silent

FORMAT = 1
MANIFEST = "manifest.json"
LEVEL = 3  # gzip's default of 9 takes several times as long


class BadArchive(CommandFailed):
    """A directory is not an archive, or is damaged."""

    exit_code = os.EX_DATAERR


class Line(Struct, rename="camel", omit_defaults=True):
    """A record. Keys and values are text and JSON, byte for byte; if they cannot be, they are in base64."""

    partition: int
    offset: int
    timestamp: int
    key: str | UnsetType = UNSET
    key_base64: str | UnsetType = UNSET
    value: Raw | UnsetType = UNSET
    value_base64: str | UnsetType = UNSET
    headers: list[tuple[str, str | None]] | UnsetType = UNSET  # values in base64

    @classmethod
    def of(cls, record: Any) -> "Line":
        """Return the line of a Kafka record."""
        line = cls(record.partition, record.offset, record.timestamp)
        if (key := record.key) is not None:
            try:
                line.key = key.decode()
            except UnicodeDecodeError:
                line.key_base64 = b64encode(key).decode()
        if (value := record.value) is not None:
            if _fits_in_a_line(value):
                line.value = Raw(value)
            else:
                line.value_base64 = b64encode(value).decode()
        if record.headers:
            line.headers = [
                (name.encode(errors="replace").decode(), None if value is None else b64encode(value).decode())
                for name, value in record.headers
            ]
        return line

    def raw_key(self) -> bytes | None:
        """Return the key of the record."""
        return self.key.encode() if isinstance(self.key, str) else _decoded(self.key_base64)

    def raw_value(self) -> bytes | None:
        """Return the value of the record."""
        return bytes(self.value) if isinstance(self.value, Raw) else _decoded(self.value_base64)

    def raw_headers(self) -> list[tuple[str, bytes | None]]:
        """Return the headers of the record."""
        return [(name, None if v is None else b64decode(v)) for name, v in self.headers or ()]


def _fits_in_a_line(value: bytes) -> bool:
    """Return whether a value is JSON that can be part of a line unchanged."""
    if b"\n" in value or b"\r" in value or value != value.strip():
        return False
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return True


def _decoded(text: str | UnsetType) -> bytes | None:
    return b64decode(text) if isinstance(text, str) else None


class Part(Struct, rename="camel"):
    """The records of a partition: their range of offsets in the exported topic, and their number."""

    begin: int
    end: int
    records: int


class File(Struct, rename="camel"):
    """A file of the archive; `topic` is without prefix, and None for documents of MongoDB."""

    name: str
    topic: str | None
    records: int
    bytes: int
    sha256: str
    partitions: dict[int, Part] = {}


class Manifest(Struct, rename="camel"):
    """The contents of an archive; `aggregate`: topic and key, if it has the events of only one order or product."""

    format: int
    created_at: str
    partitions: int
    prefix: str
    aggregate: tuple[str, str] | None
    files: list[File]
    checksum: str = ""

    def digest(self) -> str:
        """Return the checksum of everything else."""
        return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(self, checksum=""))).hexdigest()


# --- writing


class Writer:
    """Writes one file of an archive."""

    def __init__(self, directory: Path, name: str, topic: str | None = None) -> None:
        self.path, self.topic = directory / f"{name}.ndjson.gz", topic
        self.counts: Counter[int] = Counter()
        self._file = self.path.open("xb")
        self._packed = gzip.GzipFile("", "wb", LEVEL, self._file, mtime=0)

    def write(self, line: bytes, partition: int = 0) -> None:
        """Add a line."""
        self._packed.write(line + b"\n")
        self.counts[partition] += 1

    def close(self, begins: dict[int, int] | None = None, ends: dict[int, int] | None = None) -> File:
        """Finish the file, durably, and return its entry in the manifest."""
        self._packed.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        parts = {n: Part((begins or {}).get(n, 0), end, self.counts[n]) for n, end in (ends or {}).items()}
        size = self.path.stat().st_size
        return File(self.path.name, self.topic, self.counts.total(), size, _sha256(self.path), parts)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest, which makes the directory an archive."""
    manifest.checksum = manifest.digest()
    draft = directory / f"{MANIFEST}.draft"
    with draft.open("xb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(directory / MANIFEST)


# --- reading


def read_manifest(directory: Path) -> Manifest:
    """Return the manifest of an archive; `BadArchive` if it has none or it was changed."""
    path = directory / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BadArchive(f"{directory} is not a complete archive: it has no {MANIFEST}. Export it again.") from None
    except msgspec.DecodeError as error:
        raise BadArchive(f"{path} is damaged ({error}): use another copy of the archive.") from error
    if manifest.format != FORMAT:
        raise BadArchive(f"{path} has format {manifest.format}, and this version reads format {FORMAT}: upgrade it.")
    if manifest.digest() != manifest.checksum:
        raise BadArchive(f"{path} was changed: its checksum does not match. Use another copy of the archive.")
    return manifest


def verify(directory: Path, manifest: Manifest, progress: ShowProgress = silent) -> None:
    """Read every file of an archive; `BadArchive` if one is missing or is not as the manifest describes it."""
    with progress("checking the archive", sum(file.records for file in manifest.files)) as advance:
        for file in manifest.files:
            path = directory / file.name
            if not path.is_file():
                raise BadArchive(f"{path} is missing: use another copy of the archive.")
            if _sha256(path) != file.sha256:
                raise BadArchive(f"{path} is damaged: its checksum does not match. Use another copy of the archive.")
            counts = Counter(line.partition for line in lines(path)) if file.topic else Counter({0: _count(path)})
            if counts.total() != file.records or any(counts[n] != p.records for n, p in file.partitions.items()):
                raise BadArchive(f"{path} has {counts.total()} records, and the manifest says {file.records}.")
            advance(file.records)


def lines(path: Path) -> Iterator[Line]:
    """Yield the records in a file, one in memory at a time."""
    decode = msgspec.json.Decoder(Line).decode
    return (decode(line) for line in raw_lines(path))


def raw_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file."""
    with gzip.open(path) as file:
        yield from file


def _count(path: Path) -> int:
    return sum(1 for _ in raw_lines(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(paths: Iterable[Path]) -> None:
    """Delete the files of an unfinished export."""
    for path in paths:
        path.unlink(missing_ok=True)
