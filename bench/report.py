"""The table of what was measured."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import NamedTuple

import psutil
from rich.table import Table

PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "pydantic", "motor", "aiohttp", "uvloop")


class Row(NamedTuple):
    """One figure: what was measured, how, and what came out."""

    what: str
    how: str
    measured: str


def as_table(rows: list[Row]) -> Table:
    """Return the rows for a terminal."""
    table = Table("what", "how", "measured")
    for row in rows:
        table.add_row(*row)
    return table


def as_markdown(rows: list[Row]) -> str:
    """Return the rows as a page that says where and when they were measured."""
    machine = f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        "# Benchmarks",
        "",
        "`make bench` measures this: broker, database, workers and load client together on one machine.",
        "Machines are shared and noisy: compare ratios and CPU times within one run, not rates between runs.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d} · {machine} · Python {platform.python_version()} · Kafka 4.1.1, "
        f"MongoDB 6.0.5 · {versions}",
        "",
        "| what | how | measured |",
        "|---|---|---|",
        *(f"| {row.what} | {row.how} | {row.measured} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"
