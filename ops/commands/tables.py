"""Tables for the terminal."""

import re
import time
from datetime import timedelta
from typing import Any

from pydantic.fields import FieldInfo
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from ops.errors import without_credentials
from ops.stack import state
from ops.stack.status import Status
from streams.runtime import disk
from streams.runtime.settings import Settings
from streams.topics import TopicDescription

SECRET = re.compile(r"token|password|secret", re.IGNORECASE)
COLOURS = {"ready": "green", "external": "green", "restarting": "red", "stopped": "red"}


def whole(*headers: str) -> Table:
    """Return a table that breaks what does not fit a line instead of cutting it: names are there to be copied."""
    table = Table(*headers)
    for column in table.columns:
        column.overflow = "fold"
    return table


def status_tables(status: Status, settings: Settings) -> Group:
    """Return what `fulfillment status` shows a person."""
    processes = whole("name", "role", "pid", "state", "port", "restarts", "up for")
    for process, condition, *_ in status.processes:
        found = state.running(process)
        uptime = str(timedelta(seconds=int(time.time() - found.create_time()))) if found else ""
        colour = COLOURS.get(condition, "yellow")
        cells = (process.name, process.role, process.pid or "", f"[{colour}]{condition}[/]", process.port or "")
        processes.add_row(*map(str, cells), str(process.restarts), uptime)
    lag = whole("group", "topic", "not handled yet")
    for group, topics in sorted(status.lag.items()):
        for topic, messages in sorted(topics.items()):
            lag.add_row(group, topic, str(messages))
    full = disk.full(settings.data)
    reasons = [f"{each.process.name}: {escape(each.reason)}" for each in status.processes if each.reason]
    tables = [processes, *([lag] if status.lag else [])]
    return Group(*tables, *reasons, f"logs: {settings.data / 'logs'}", *([full] if full else []))


def settings_table(settings: Settings) -> Table:
    """Return every setting: its variable, value, default and meaning; credentials are hidden."""
    table = whole("variable", "value", "default", "meaning")
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        style = "bold" if name in settings.model_fields_set else ""
        table.add_row(
            f"FULFILLMENT_{name.upper()}", masked(name, value), _default(field), field.description, style=style
        )
    return table


def masked(name: str, value: Any) -> str:
    """Return `value` as the environment would have it, without what must not be read over a shoulder."""
    if value is None or value == "":
        return ""
    if SECRET.search(name):
        return "********"
    return without_credentials(",".join(value) if isinstance(value, tuple) else str(value))


def _default(field: FieldInfo) -> str:
    return masked("", field.get_default())


def topics_table(topics: list[TopicDescription]) -> Table:
    """Return what `fulfillment topics list` shows."""
    table = whole("topic", "partitions", "cleanup", "kept for")
    for topic in topics:
        kept = "forever" if topic.retention_ms < 0 else str(timedelta(milliseconds=topic.retention_ms))
        kept = "latest per key" if topic.cleanup_policy == "compact" else kept
        table.add_row(topic.name, str(topic.partitions), topic.cleanup_policy, kept)
    return table
