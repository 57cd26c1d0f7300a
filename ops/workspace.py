"""A folder for what a command writes while it works: `FULFILLMENT_DATA/NAME`, locked until the end.

A command that cannot have this folder, because another one uses it or the disk is read-only, uses a temporary one.
Temporary folders that a killed command left behind are deleted by the next command that needs one.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.runtime.settings import Settings

LOCK = "lock"


@contextmanager
def workspace(settings: Settings, name: str) -> Iterator[Path]:
    """Open a folder that no other process uses until the end."""
    folder = settings.data / name
    lock = _lock_of(folder)
    if lock is None:
        with _temporary(name) as found:
            yield found
        return
    try:
        yield folder
    finally:
        os.close(lock)


def clear(folder: Path) -> None:
    """Remove everything in a workspace but its lock."""
    for each in folder.iterdir():
        if each.is_dir():
            shutil.rmtree(each)
        elif each.name != LOCK:
            each.unlink()


@contextmanager
def _temporary(name: str) -> Iterator[Path]:
    prefix, root = f"fulfillment-{name}-", Path(tempfile.gettempdir())
    _delete_abandoned(root, prefix)
    with tempfile.TemporaryDirectory(prefix=prefix) as temporary:
        folder = Path(temporary)
        lock = _locked(folder / f"new {LOCK}")
        assert lock is not None, "no other process knows the folder"
        (folder / f"new {LOCK}").rename(folder / LOCK)  # from now on, it is abandoned if it is not locked
        try:
            yield folder
        finally:
            os.close(lock)


def _delete_abandoned(root: Path, prefix: str) -> None:
    """Delete temporary folders of this user whose processes have ended without deleting them."""
    for folder in root.glob(f"{prefix}*"):
        if folder.is_symlink() or not (folder / LOCK).is_file() or folder.stat().st_uid != os.getuid():
            continue
        if (lock := _locked(folder / LOCK)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _lock_of(folder: Path) -> int | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return _locked(folder / LOCK)


def _locked(file: Path) -> int | None:
    """Return the descriptor of a locked file, which keeps the lock until it is closed; None if that is not possible."""
    try:
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
