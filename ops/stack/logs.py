"""The log files of the local stack."""

import os
import re
from pathlib import Path

KEEP_BYTES = 16 << 20
JAVA_CAUSE = re.compile(r"^(?:Caused by: )?((?:\w+\.)+\w+(?:Exception|Error)): (.+)$", re.MULTILINE)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def last_lines(path: Path, count: int = 8) -> str:
    """Return the last lines of a log without colours; an empty string if there is no log."""
    try:
        with path.open("rb") as log:
            log.seek(-min(8192, log.seek(0, os.SEEK_END)), os.SEEK_END)
            text = log.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.rstrip() for line in ESCAPES.sub("", text).splitlines() if line.strip()]
    return "\n".join(lines[-count:])


def java_cause(path: Path) -> str:
    """Return the exception with which a Java program stopped, from its log; an empty string if there is none."""
    causes = JAVA_CAUSE.findall(last_lines(path, 200))
    kafkas = [
        each for each in causes if each[0].startswith("org.apache.kafka.")
    ]  # these contain the address or the folder
    return str((kafkas or causes)[-1][1]).strip().rstrip(".") if causes else ""


def rotated(path: Path) -> Path:
    """Return `path`, after moving a large old log to `path`.1; called when its process starts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > KEEP_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return path


def log_of(data: Path, name: str) -> Path:
    """Return the log file of the process `name` in the stack of `data`."""
    return data / "logs" / f"{name}.log"
