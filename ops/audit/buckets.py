"""Files through which partitions exchange facts: event ids, ids of documents, and lines with their reservations.

All facts about one thing are in the bucket that a hash of its id chooses. Buckets are compared one after the other, so
that only one of them has to fit in memory.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

SIZE = 8  # bytes of a hash: of a billion ids, two have the same hash with a probability of 3 %, and are compared again
AT_ONCE = 500_000  # facts of one kind in a bucket
MOST = 256  # buckets, which are chosen by the first byte of the hash
KEPT_BYTES = 64 << 10  # how much of each file is kept in memory before it is written


def buckets_for(facts: int) -> int:
    """Return how many buckets are needed for a number of facts: a power of two."""
    count = 1
    while count < MOST and facts / count > AT_ONCE:
        count *= 2
    return count


def digest(identifier: str) -> bytes:
    """Return the hash of an id, which is the same in every process."""
    return blake2b(identifier.encode(errors="replace"), digest_size=SIZE).digest()


@dataclass
class Buckets:
    """Writes facts to a folder; call `close` after the last one."""

    folder: Path
    count: int
    _kept: dict[str, list[bytearray]] = field(init=False)

    def __post_init__(self) -> None:
        self._kept = defaultdict(lambda: [bytearray() for _ in range(self.count)])

    def add_id(self, kind: str, identifier: str) -> None:
        """Add the hash of an id."""
        hashed = digest(identifier)
        self.add_fact(kind, hashed, hashed)

    def add(self, kind: str, identifier: str, fact: bytes) -> None:
        """Add a line of text about an id."""
        self.add_fact(kind, digest(identifier), fact + b"\n")

    def add_fact(self, kind: str, hashed: bytes, fact: bytes) -> None:
        """Add a fact about what has this hash."""
        kept = self._kept[kind][number := hashed[0] % self.count]
        kept += fact
        if len(kept) > KEPT_BYTES:
            self._write(kind, number)

    def _write(self, kind: str, number: int) -> None:
        kept = self._kept[kind][number]
        with (self.folder / f"{kind}-{number}").open("ab") as file:
            file.write(kept)
        kept.clear()

    def close(self) -> None:
        """Write what is still in memory."""
        for kind, buckets in self._kept.items():
            for number, kept in enumerate(buckets):
                if kept:
                    self._write(kind, number)


def digests(folders: Iterable[Path], kind: str, number: int) -> Iterator[bytes]:
    """Yield the hashes in a bucket of several folders."""
    for data in _read(folders, kind, number):
        yield from (data[at : at + SIZE] for at in range(0, len(data), SIZE))


def facts(folder: Path, kind: str, number: int, size: int) -> Iterator[bytes]:
    """Yield the facts of a size in a bucket of one folder."""
    for data in _read([folder], kind, number):
        yield from (data[at : at + size] for at in range(0, len(data), size))


def lines(folders: Iterable[Path], kind: str, number: int) -> Iterator[bytes]:
    """Yield the lines in a bucket of several folders."""
    for data in _read(folders, kind, number):
        yield from data.splitlines()


def _read(folders: Iterable[Path], kind: str, number: int) -> Iterator[bytes]:
    for folder in folders:
        if (file := folder / f"{kind}-{number}").exists():
            yield file.read_bytes()
