"""Injects faults, to test the promises about bugs and crashes. Off unless `FULFILLMENT_FAULTS` names some.

    FULFILLMENT_FAULTS=raise:Hold,raise:ReserveStock   handling these commands raises
    FULFILLMENT_FAULTS=kill:committed@3                the process kills itself (-9) when it gets there the third time
    FULFILLMENT_FAULTS=stop:commit-asked@2+5           the process stops (SIGSTOP) 5 ms after the second time
    FULFILLMENT_FAULTS=ask:/tmp/faults                 at each point the worker orders-0 reads the file
                                                       /tmp/faults/orders-0; if it names a fault, the worker deletes
                                                       the file and injects the fault: once, restarts included

Names are the names of commands and of `POINTS`, each of which is between two steps. A place that can fail calls
`fault("its name")`; where that costs too much, it checks `if faults.ARMED` first.
"""

import os
import re
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streams.topology import AGGREGATES, READING, TRANSACTIONAL

_DECIDING, _READING = frozenset(TRANSACTIONAL), frozenset(READING)
_ORDERS = frozenset({"orders"})
_PROJECTING = frozenset({"projector"})
_ANSWERING = frozenset({"api"})


class Injected(RuntimeError):
    """An injected bug."""


class UnknownFault(ValueError):
    """The text does not name a fault."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place between two steps, and the roles that pass it."""

    name: str
    roles: frozenset[str]
    about: str


POINTS = (
    Point("starting", _DECIDING, "before the transactional id is claimed"),
    Point("claimed", _DECIDING, "the transactional id is claimed, the group not joined"),
    Point("assigned", _READING, "partitions are assigned, nothing is read for them"),
    Point("offsets-read", _READING, "the stable committed offsets (projector: its progress) are read"),
    Point("restored", _DECIDING, "the changelog is restored, the table not replaced"),
    Point("prepared", _READING, "table and offsets are ready, the consumer is not sought"),
    Point("sought", _READING, "the consumer is sought, fetches are withheld"),
    Point("started", _READING, "fetches are delivered"),
    Point("handed-out", _READING, "a fetch is handed out, its agent has not got it"),
    Point("taken", _READING, "the agent has a fetch that continues the one before"),
    Point("decoded", _DECIDING, "one message of a fetch is decoded, not decided"),
    Point("decided", _DECIDING, "a fetch is decided, nothing is written"),
    Point("begun", _DECIDING, "the transaction is begun"),
    Point("produced", _DECIDING, "its messages are produced, not its offsets"),
    Point("offsets-sent", _DECIDING, "its offsets are sent"),
    Point("commit-asked", _DECIDING, "the commit is about to be asked for; some ms later it is under way"),
    Point("committed", _DECIDING, "the commit is answered, nothing is merged"),
    Point("timers-fired", _DECIDING, "the transaction of due timers is committed, nothing is merged"),
    Point("merged", _DECIDING, "the changes are in the table, the fetch is not acknowledged"),
    Point("acknowledged", _READING, "the fetch is done"),
    Point("to-archive", _ORDERS, "closed orders are found that are to be archived, nothing is decided"),
    Point("restored-orders", _ORDERS, "the events of archived orders are read, their commands not decided"),
    Point("loaded", _PROJECTING, "the documents of a batch are loaded, nothing is folded"),
    Point("folded", _PROJECTING, "a batch is folded, nothing is written"),
    Point("logs-written", _PROJECTING, "all is written but the documents that come last (orders, inventory)"),
    Point("moved", _PROJECTING, "a document is in its new collection, and not removed from the old one"),
    Point("documents-written", _PROJECTING, "the last documents are written, the progress is not stored"),
    Point("progress-stored", _PROJECTING, "the progress is stored"),
    Point("key-asked", _ANSWERING, "before an Idempotency-Key is claimed"),
    Point("key-claimed", _ANSWERING, "an Idempotency-Key is claimed, nothing is produced"),
    Point("sending", _ANSWERING, "before a command is produced"),
    Point("sent", _ANSWERING, "a command is durable, its outcome not known"),
    Point("answered", _ANSWERING, "the outcome is known, nothing of it stored"),
    Point("answer-stored", _ANSWERING, "the answer is stored under its Idempotency-Key, not sent"),
)
WEBHOOK_POINTS = (  # passed only while a webhook is delivered, so not by the ordinary load of fault schedules
    Point("webhook-sending", _ANSWERING, "before an event is sent to a receiver"),
    Point("webhook-answered", _ANSWERING, "the receiver has answered, nothing of it is stored"),
    Point("webhook-logged", _ANSWERING, "deliveries are in the log, the progress is not stored"),
    Point("webhook-stored", _ANSWERING, "the progress is stored"),
)
NAMES = frozenset({point.name for point in (*POINTS, *WEBHOOK_POINTS)}).union(
    *(aggregate.types for aggregate in AGGREGATES.values())
)

_FAULT = re.compile(r"(?P<action>raise|kill|stop):(?P<name>[\w-]+)(@(?P<passage>\d+))?(\+(?P<milliseconds>\d+))?")


@dataclass(slots=True)
class Fault:
    """A fault at a point: each time it is passed, or only the `passage`-th time; kill and stop may be delayed."""

    action: str
    name: str
    passage: int | None
    milliseconds: int

    def pass_by(self, _: str) -> None:
        """Inject the fault, if it is its turn."""
        if self.is_due():
            self.happen()

    def is_due(self) -> bool:
        """Count a passage, and return whether the fault is due."""
        if self.passage is None:
            return True
        self.passage -= 1
        return self.passage == 0

    def happen(self) -> None:
        """Inject the fault."""
        if self.action == "raise":
            raise Injected(f"an injected fault: {self.name}")
        act = _kill if self.action == "kill" else _stop
        if self.milliseconds:
            threading.Timer(self.milliseconds / 1000, act).start()
        else:
            act()


class Asking:
    """Injects the faults that a file names, one at a time; the file is deleted before its fault is injected."""

    def __init__(self, file: Path) -> None:
        self._file, self._text = file, ""
        self._fault: Fault | None = None
        self._lock = threading.Lock()
        self._look()

    def _look(self) -> Fault | None:
        try:
            text = self._file.read_text()
        except FileNotFoundError:
            text = ""
        if text != self._text:
            self._text, self._fault = text, parse(text) if text else None
        return self._fault

    def pass_by(self, name: str) -> None:
        """Inject the fault that the file names for `name`."""
        with self._lock:
            fault = self._look()
            if fault is None or fault.name != name or not fault.is_due():
                return
            self._file.unlink()
            self._text, self._fault = "", None
        fault.happen()


ARMED: dict[str, Callable[[str], None]] = {}


def fault(name: str) -> None:
    """Inject the fault that is armed for `name`."""
    if ARMED and (passed := ARMED.get(name)):
        passed(name)


def arm(text: str, process: str) -> None:
    """Arm the faults in `text` (like `FULFILLMENT_FAULTS`) for the process called `process`; raise `UnknownFault`."""
    for each in filter(None, (part.strip() for part in text.split(","))):
        if each.startswith("ask:"):
            asking = Asking(Path(each.removeprefix("ask:")) / process)
            ARMED.update(dict.fromkeys(NAMES, asking.pass_by))
        else:
            found = parse(each)
            ARMED[found.name] = found.pass_by


def parse(text: str) -> Fault:
    """Return the fault that `text` names; raise `UnknownFault` if it does not name one."""
    found = _FAULT.fullmatch(text.strip())
    if found is None or found["name"] not in NAMES:
        names = ", ".join(point.name for point in POINTS)
        raise UnknownFault(
            f"{text.strip()!r} is not a fault: write raise, kill or stop, a colon, the name of a command or of a point "
            f"({names}), and if you like @3 for the third passage and +5 for 5 ms later"
        )
    if found["passage"] is not None and int(found["passage"]) < 1:
        raise UnknownFault(f"{text.strip()!r} is not a fault: the first passage is @1")
    passage = int(found["passage"]) if found["passage"] else None if found["action"] == "raise" else 1
    return Fault(found["action"], found["name"], passage, int(found["milliseconds"] or 0))


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
