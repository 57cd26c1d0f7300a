"""The rights on Kafka that each role needs, and nothing more: derived from the topology.

Besides the roles there are two users of the command line: `setup` only creates topics, as before an upgrade, and
`operator` may use every command. An idempotent producer needs no right on the cluster if it may write to a topic (since
Kafka 2.8).
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

from streams.runtime.settings import ROLES, Role, Settings
from streams.topics import CUSTOMER_KEYS, UNFINISHED_IMPORT, Topic, topics_of
from streams.topology import READING, TOPOLOGY, TRANSACTIONAL, group_of, instances_of, webhook_writers

Kind = Literal["topic", "group", "transactional-id"]
Operation = Literal["READ", "WRITE", "CREATE", "DELETE", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"]
User = Literal[Role, "setup", "operator"]
INCLUDES: dict[Operation, tuple[Operation, ...]] = {
    "READ": ("DESCRIBE",),
    "WRITE": ("DESCRIBE",),
    "DELETE": ("DESCRIBE",),
    "ALTER_CONFIGS": ("DESCRIBE_CONFIGS",),
}
USERS: tuple[User, ...] = (*ROLES, "setup", "operator")


class Resource(NamedTuple):
    """A resource of the cluster; `prefixed`: every resource whose name begins with `name`."""

    kind: Kind
    name: str
    prefixed: bool = False


Rights = dict[Resource, tuple[Operation, ...]]
_Right = tuple[Resource, Operation]


def rights_of(user: User, settings: Settings) -> Rights:
    """Return the operations that a user may do, by resource."""
    found: defaultdict[Resource, set[Operation]] = defaultdict(set)
    for resource, operation in _rights(user, settings):
        found[resource].add(operation)
    return {resource: _needed(operations) for resource, operations in sorted(found.items())}


def _needed(operations: set[Operation]) -> tuple[Operation, ...]:
    """Return the operations in the order of `Operation`; included operations are left out."""
    included = {included for each in operations for included in INCLUDES.get(each, ())}
    order: tuple[Operation, ...] = get_args(Operation)
    return tuple(sorted(operations - included, key=order.index))


def _rights(user: User, settings: Settings) -> Iterator[_Right]:
    if user == "setup":
        yield from _setup(settings)
    elif user == "operator":
        yield from _operator(settings)
    else:
        yield from _role(user, settings)


def _role(role: Role, settings: Settings) -> Iterator[_Right]:
    wiring = TOPOLOGY[role]
    there = {topic.name for topic in topics_of(settings)}
    for topic in (each for each in wiring.may_read if each.name in there):
        yield _topic(topic, settings), "READ"
    for topic in (each for each in wiring.may_write if each.name in there):
        yield _topic(topic, settings), "WRITE"
    if wiring.reads:
        yield Resource("group", group_of(role, settings)), "READ"
    if wiring.table:
        yield _transactions(role, settings), "WRITE"
    if wiring.table or role == "api":  # to do nothing while an import is unfinished
        yield _unfinished_import(settings), "DESCRIBE"
    for writer in TRANSACTIONAL:  # to tell whose open transaction holds back a topic
        if writer != role and {*wiring.may_read} & {*TOPOLOGY[writer].may_write}:
            yield _transactions(writer, settings), "DESCRIBE"
    if role == "api":
        for topic in wiring.writes:  # to refuse commands that are too large for it
            yield _topic(topic, settings), "DESCRIBE_CONFIGS"
        if settings.encrypts_personal_data:  # to tell whether a key is erased, or not known yet
            yield _topic(CUSTOMER_KEYS, settings), "DESCRIBE"
        yield _webhook_writers(settings), "WRITE"
        for reader in READING:  # to tell how far each role is
            yield Resource("group", group_of(reader, settings)), "DESCRIBE"


def _setup(settings: Settings) -> Iterator[_Right]:
    yield _unfinished_import(settings), "DESCRIBE"
    for topic in topics_of(settings):
        for operation in ("CREATE", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"):
            yield _topic(topic, settings), operation  # type: ignore[misc]  # mypy takes them for any string


def _operator(settings: Settings) -> Iterator[_Right]:
    yield from _setup(settings)
    for topic in topics_of(settings):
        yield _topic(topic, settings), "READ"
        yield _topic(topic, settings), "WRITE"  # also events, to import an archive
    for operation in ("CREATE", "READ", "WRITE", "DELETE"):
        yield _unfinished_import(settings), operation  # type: ignore[misc]
    for topic in (table for role in ROLES if (table := TOPOLOGY[role].table)):  # to rebuild tables
        yield _topic(topic, settings), "DELETE"
    for reader in READING:  # to reset its offsets
        yield Resource("group", group_of(reader, settings)), "READ"
    for writer in TRANSACTIONAL:  # to end its transactions
        yield _transactions(writer, settings), "WRITE"
    yield _webhook_writers(settings), "WRITE"


def _topic(topic: Topic, settings: Settings) -> Resource:
    return Resource("topic", settings.named(topic.name))


def _unfinished_import(settings: Settings) -> Resource:
    return Resource("topic", settings.named(UNFINISHED_IMPORT))


def _transactions(role: Role, settings: Settings) -> Resource:
    return Resource("transactional-id", instances_of(role, settings), prefixed=True)


def _webhook_writers(settings: Settings) -> Resource:
    return Resource("transactional-id", webhook_writers(settings), prefixed=True)
