"""Where and with what it was measured."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import psutil

from ops.stack.kafka import JARS

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
    """Return the versions of what runs; `mongo`: what the server reports, empty when none was started."""
    kafka = JARS.partition("+")[0].rpartition(":")[2]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    stores = [f"Kafka {kafka}", f"MongoDB {mongo}"] if mongo else []
    return ", ".join([f"Python {platform.python_version()}", *stores, packages])


def load_average() -> float:
    """Return how many processes wanted a core in the last minute: what else the machine did when a part began."""
    return os.getloadavg()[0]
