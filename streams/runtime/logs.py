"""The log of a process: one line per record, as text or JSON. Messages are never logged singly, not even at DEBUG."""

import logging
import time
import traceback

import orjson

from streams.messages.envelope import instant_of
from streams.runtime.settings import Settings

SAY_SECONDS = 10.0  # between two warnings of Kafka's client that differ only in numbers
REPEATING = ("aiokafka", "aiokafka.consumer.fetcher", "aiokafka.consumer.group_coordinator", "aiokafka.producer.sender")
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, role, instance; correlationId and exception if known."""

    def __init__(self, role: str, instance: str) -> None:
        super().__init__()
        self._process = {"role": role, "instance": instance}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": instant_of(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._process,
        }
        if (correlation := getattr(record, "correlation_id", None)) is not None:
            line["correlationId"] = correlation
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return orjson.dumps(line, default=str).decode()


class NotAgain(logging.Filter):
    """Limits the warnings of a library that retries thousands of times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._silent_until: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the same warning was not logged recently."""
        now, what = time.monotonic(), (record.name, record.msg)
        if now < self._silent_until.get(what, 0.0):
            return False
        self._silent_until[what] = now + SAY_SECONDS
        return True


def configure(role: str, settings: Settings) -> None:
    """Log to standard error, in the format and at the level of the settings."""
    logging.basicConfig(level=settings.log_level, format=TEXT)
    for name in REPEATING:
        logging.getLogger(name).addFilter(NotAgain())
    if settings.log_format == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter(role, settings.instance))
