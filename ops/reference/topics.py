"""The topics and the roles that use them, as tables."""

from ops.reference.markdown import code, listed, table
from streams.runtime.settings import ROLES
from streams.topics import DAY, TOPICS, Topic
from streams.topology import TOPOLOGY, Wiring


def topics() -> str:
    """Return a row for each topic: its key, how long it keeps messages, and the roles that write and read it."""
    rows = [(code(topic.name), topic.key, _kept(topic), _writers(topic), _readers(topic)) for topic in TOPICS]
    return table(("Topic", "Key", "Kept", "Written by", "Read by"), rows)


def _kept(topic: Topic) -> str:
    if topic.cleanup == "compact":
        return "compacted"
    return "forever" if topic.retention_ms < 0 else f"{topic.retention_ms // DAY} days"


def _writers(topic: Topic) -> str:
    return listed(role for role in ROLES if topic in TOPOLOGY[role].writes or topic == TOPOLOGY[role].table)


def _readers(topic: Topic) -> str:
    return listed(role for role in ROLES if topic in _read_by(TOPOLOGY[role]))


def _read_by(wiring: Wiring) -> tuple[Topic | None, ...]:
    return (*wiring.reads, *wiring.follows, wiring.table)
