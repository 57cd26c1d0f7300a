"""How a process logs: a line a record, as text or as JSON. At INFO never one a message; at DEBUG one a batch."""

import logging
import time
import traceback

import orjson

from streams.messages.envelope import instant_of
from streams.runtime.settings import Settings

SAY_SECONDS = 10.0  # between two complaints of Kafka's client that are the same but for their numbers
REPEATING = ("aiokafka", "aiokafka.consumer.fetcher", "aiokafka.consumer.group_coordinator", "aiokafka.producer.sender")
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, role, instance; correlationId and exception where known."""

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
    """Keeps a library that tries thousands of times a second from saying so each time."""

    def __init__(self) -> None:
        super().__init__()
        self._silent_until: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether this complaint was not made for a while."""
        now, what = time.monotonic(), (record.name, record.msg)
        if now < self._silent_until.get(what, 0.0):
            return False
        self._silent_until[what] = now + SAY_SECONDS
        return True


def configure(role: str, settings: Settings) -> None:
    """Log to standard error as the settings say."""
    logging.basicConfig(level=settings.log_level, format=TEXT)
    for name in REPEATING:
        logging.getLogger(name).addFilter(NotAgain())
    if settings.log_format == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter(role, settings.instance))
