"""Logs as JSON: one object per line, whatever is logged."""

import json
import logging
import os
import subprocess
import sys

import pytest

from streams.runtime.logs import JsonFormatter, NotAgain

pytestmark = pytest.mark.usefixtures("processes")


def said(record: logging.LogRecord) -> dict[str, str]:
    line = JsonFormatter("orders", "3").format(record)
    assert "\n" not in line
    return dict(json.loads(line))


def test_a_line_has_its_time_and_its_source() -> None:
    record = logging.makeLogRecord({"name": "agents.worker", "levelname": "INFO", "msg": "%d records", "args": (3,)})
    record.created = 1_763_000_000.123
    assert said(record) == {
        "time": "2025-11-13T02:13:20.123Z",
        "level": "INFO",
        "logger": "agents.worker",
        "message": "3 records",
        "role": "orders",
        "instance": "3",
    }


def test_a_fault_carries_its_correlation_id_and_its_trace() -> None:
    try:
        raise ZeroDivisionError("no\nway")
    except ZeroDivisionError:
        record = logging.makeLogRecord({"msg": "POST failed", "exc_info": sys.exc_info(), "correlation_id": "c-1"})
    line = said(record)
    assert line["correlationId"] == "c-1"
    assert "ZeroDivisionError: no\nway" in line["exception"]
    assert "test_streams_logs.py" in line["exception"]


SCRIPT = """
import logging
from streams.runtime.logs import configure
from streams.runtime.settings import Settings
configure("api", Settings())
logging.getLogger("web.app").warning("the first\\nand only")
logging.getLogger("web.app").debug("not this")
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_the_setting_decides(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"FULFILLMENT_LOG_FORMAT": form, "FULFILLMENT_INSTANCE": "7"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    if form == "text":
        assert done.stderr.endswith("WARNING web.app: the first\nand only\n")
    else:
        (line,) = done.stderr.splitlines()
        assert {"message": "the first\nand only", "role": "api", "instance": "7"}.items() <= json.loads(line).items()


def test_a_repeated_complaint_is_logged_only_from_time_to_time() -> None:
    seldom = NotAgain()

    def passes(text: str, *arguments: object) -> bool:
        return seldom.filter(logging.LogRecord("aiokafka", logging.ERROR, "", 0, text, arguments, None))

    assert passes("Unable connect to node with id %s", 1)
    assert not passes("Unable connect to node with id %s", 2)
    assert passes("Unable to update metadata from %s", 1)
