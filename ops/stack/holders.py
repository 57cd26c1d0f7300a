"""Find the supervisors of a data directory by the lock files they hold open, as the kernel reports them.

The lock file alone is not enough: it may have been deleted or moved while its supervisor runs, or contain garbage.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

LOCK = "stack.lock"
DELETED = " (deleted)"  # the kernel's mark on the name of an open file that was deleted
OPEN_FILES = Path("/proc")  # exists only on Linux; elsewhere the content of the lock file is used


class Held(NamedTuple):
    """A lock file that a process holds: its path, or its former path, and its identity."""

    pid: int
    path: Path
    file: tuple[int, int]  # device, inode


def lock_file(data: Path) -> Path:
    """Return the lock file of a data directory."""
    return data / LOCK


def holders(data: Path) -> list[int]:
    """Return the processes that hold the lock file that is currently in `data`."""
    with suppress(OSError):
        found = lock_file(data).stat()
        return [each.pid for each in _held_locks() if each.file == (found.st_dev, found.st_ino)]
    return []


def strays(data: Path) -> list[int]:
    """Return the supervisors of this user that were started for `data` and hold a lock file that is no longer in it."""
    there = holders(data)
    wanted = lock_file(data).resolve()
    return sorted(
        each.pid
        for each in _held_locks()
        if each.pid not in there and (each.path == wanted or _data_of(each.pid) == data.resolve())
    )


def _held_locks() -> Iterator[Held]:
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            for link in os.scandir(OPEN_FILES / str(process.pid) / "fd"):
                name = os.readlink(link.path).removesuffix(DELETED)
                if name.endswith(f"/{LOCK}") and _holds(process.pid, link.name):
                    found = os.stat(link.path)
                    yield Held(process.pid, Path(name), (found.st_dev, found.st_ino))


def _holds(pid: int, descriptor: str) -> bool:
    """Return whether a process holds the lock for writing: a supervisor does, a command that only checks does not."""
    described = (OPEN_FILES / str(pid) / "fdinfo" / descriptor).read_text()
    return any("FLOCK" in line and "WRITE" in line for line in described.splitlines())


def _data_of(pid: int) -> Path | None:
    """Return the data directory that a supervisor was started for, from its environment."""
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        environment = {name.upper(): value for name, value in process.environ().items()}
        folder = environment.get("FULFILLMENT_DATA", ".fulfillment")
        return Path(process.cwd(), folder).resolve()
    return None
