"""The machine and software on which figures were measured."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import psutil

from ops.stack.kafka import VERSION

PACKAGES = (
    "faust-streaming", "aiokafka", "confluent-kafka", "pydantic", "orjson", "pymongo", "aiohttp", "uvloop",
)  # fmt: skip


def machine() -> str:
    """Return the processor, its cores, memory and system."""
    cores, memory = os.cpu_count(), psutil.virtual_memory().total / 2**30
    return f"{_processor()}, {cores} cores, {memory:.0f} GiB, {platform.system()} {platform.release().split('-')[0]}"


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


def versions(mongo: str) -> str:
    """Return the versions of the software; `mongo`: the server's version, empty if none was started."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    stores = [f"Kafka {VERSION}", f"MongoDB {mongo}"] if mongo else []
    return ", ".join([f"Python {platform.python_version()}", *stores, packages])


def load_average() -> float:
    """Return the load average of the last minute: the load of other processes when a part begins."""
    return os.getloadavg()[0]
