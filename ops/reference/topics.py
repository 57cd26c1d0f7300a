"""The topics and the roles that use them, as tables."""

from ops.reference.markdown import code, listed, table
from streams.runtime.settings import ROLES
from streams.topic_setup import IN_SYNC, SAFE_REPLICAS, Requirement, requirements
from streams.topics import DAY, EVERY_TOPIC, ORDER_EVENTS, Topic
from streams.topology import TOPOLOGY


def topics() -> str:
    """Return a row for each topic: its key, how long it keeps messages, and the roles that write and read it."""
    rows = [(code(topic.name), topic.key, _kept(topic), _writers(topic), _readers(topic)) for topic in EVERY_TOPIC]
    return table(("Topic", "Key", "Kept", "Written by", "Read by"), rows)


def durability() -> str:
    """Return a row for each setting that topics are created with, besides those in the table of topics."""
    needed: dict[Requirement, list[Topic]] = {}
    for topic in EVERY_TOPIC:
        for each in (*requirements(topic, 1), *requirements(topic, SAFE_REPLICAS)):
            topics = needed.setdefault(each, [])
            topics += [] if topic in topics else [topic]
    rows = [(code(each.setting), _value(each), _of(found), each.otherwise) for each, found in needed.items()]
    return table(("Setting", "Value", "Topics", "Otherwise"), rows)


def _value(each: Requirement) -> str:
    bound = " or more" if each.least else " or less" if each.most else ""
    value = code(each.want) + bound
    if each.setting != IN_SYNC:
        return value
    many = each in requirements(ORDER_EVENTS, SAFE_REPLICAS)
    return f"{value}, with {f'{SAFE_REPLICAS} or more replicas' if many else 'one replica'}"


def _of(topics: list[Topic]) -> str:
    return "all" if len(topics) == len(EVERY_TOPIC) else listed(topic.name for topic in topics)


def _kept(topic: Topic) -> str:
    if topic.cleanup == "compact":
        return "compacted"
    return "forever" if topic.retention_ms < 0 else f"{topic.retention_ms // DAY} days"


def _writers(topic: Topic) -> str:
    return listed(role for role in ROLES if topic in TOPOLOGY[role].may_write)


def _readers(topic: Topic) -> str:
    return listed(role for role in ROLES if topic in TOPOLOGY[role].may_read)
