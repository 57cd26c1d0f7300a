"""Checks whether the disk of the local Kafka and MongoDB is full: then they end, and restart when it is not."""

from pathlib import Path

import psutil

LEAST_BYTES = 64 << 20  # free bytes: with fewer, the next segment or journal may not fit


def full(folder: Path) -> str | None:
    """Return a sentence if the disk of `folder` is almost full; None if not, or if the folder does not exist."""
    try:
        free = psutil.disk_usage(str(folder)).free
    except OSError:
        return None
    if free >= LEAST_BYTES:
        return None
    return f"The disk is full: {free >> 20} MiB are free where {folder} is; free some space, the rest comes by itself"
