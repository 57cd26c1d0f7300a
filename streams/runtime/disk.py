"""Whether the disk that the local Kafka and MongoDB write to is full: then they end, and come back when it is not."""

from pathlib import Path

import psutil

LEAST_BYTES = 64 << 20  # free: with less, the next segment or journal may not fit


def full(folder: Path) -> str | None:
    """Return a sentence when hardly anything is free where `folder` is; None too where there is no such folder."""
    try:
        free = psutil.disk_usage(str(folder)).free
    except OSError:
        return None
    if free >= LEAST_BYTES:
        return None
    return f"The disk is full: {free >> 20} MiB are free where {folder} is; free some space, the rest comes by itself"
