"""The topics that each role reads and writes, and the table it keeps: the only place that defines them.

A role's processes share what it `reads`, as a consumer group; each of them reads all of what it `follows`, without a
group, and reads single messages of what it `searches`. A role with a table writes in one Kafka transaction per fetch.
The projector writes to MongoDB. `customer-keys` is used only if personal data is encrypted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from domain import inventory, orders
from domain.message import Command
from streams.messages.envelope import Aggregate
from streams.runtime.settings import ROLES, Role, Settings
from streams.topics import (
    COMMAND_OUTCOMES,
    CUSTOMER_KEYS,
    DEAD_LETTERS,
    INVENTORY_COMMANDS,
    INVENTORY_EVENTS,
    ORDER_COMMANDS,
    ORDER_EVENTS,
    ORDER_STATES,
    STOCK_STATES,
    WEBHOOKS,
    Topic,
)


@dataclass(frozen=True, slots=True)
class Wiring:
    """The topics that a role reads and writes; `table` is the changelog of its table."""

    reads: tuple[Topic, ...] = ()
    writes: tuple[Topic, ...] = ()
    follows: tuple[Topic, ...] = ()
    searches: tuple[Topic, ...] = ()
    table: Topic | None = None

    @property
    def may_read(self) -> tuple[Topic, ...]:
        """Every topic that the role reads in any way."""
        return (*self.reads, *self.follows, *self.searches, *self._changelog)

    @property
    def may_write(self) -> tuple[Topic, ...]:
        """Every topic that the role writes."""
        return (*self.writes, *self._changelog)

    @property
    def _changelog(self) -> tuple[Topic, ...]:
        return (self.table,) if self.table else ()


# Deciding roles also write commands: forwarded ones to the right partition, and the commands that their events cause.
TOPOLOGY: Mapping[Role, Wiring] = {
    "orders": Wiring(
        reads=(ORDER_COMMANDS,),
        writes=(ORDER_EVENTS, COMMAND_OUTCOMES, DEAD_LETTERS, ORDER_COMMANDS, INVENTORY_COMMANDS, CUSTOMER_KEYS),
        follows=(DEAD_LETTERS,),
        searches=(ORDER_EVENTS,),
        table=ORDER_STATES,
    ),
    "inventory": Wiring(
        reads=(INVENTORY_COMMANDS,),
        writes=(INVENTORY_EVENTS, COMMAND_OUTCOMES, DEAD_LETTERS, INVENTORY_COMMANDS, ORDER_COMMANDS),
        follows=(DEAD_LETTERS,),
        table=STOCK_STATES,
    ),
    "projector": Wiring(
        reads=(ORDER_EVENTS, INVENTORY_EVENTS, COMMAND_OUTCOMES),
        follows=(DEAD_LETTERS, CUSTOMER_KEYS),
    ),
    "api": Wiring(
        writes=(ORDER_COMMANDS, INVENTORY_COMMANDS, WEBHOOKS),
        follows=(COMMAND_OUTCOMES, ORDER_EVENTS, INVENTORY_EVENTS, DEAD_LETTERS, WEBHOOKS),
        searches=(ORDER_COMMANDS, INVENTORY_COMMANDS),
    ),
}

READING: tuple[Role, ...] = tuple(role for role in ROLES if TOPOLOGY[role].reads)  # have a consumer group
TRANSACTIONAL: tuple[Role, ...] = tuple(role for role in ROLES if TOPOLOGY[role].table)


@dataclass(frozen=True, slots=True)
class AggregateTopics:
    """The topics of an aggregate, the types of its commands, and the field of their data that may contain its id."""

    role: Role
    commands: Topic
    events: Topic
    types: Mapping[str, type[Command]]
    id_field: str


AGGREGATES: Mapping[Aggregate, AggregateTopics] = {
    "order": AggregateTopics("orders", ORDER_COMMANDS, ORDER_EVENTS, orders.COMMANDS, "orderId"),
    "inventory": AggregateTopics("inventory", INVENTORY_COMMANDS, INVENTORY_EVENTS, inventory.COMMANDS, "productId"),
}


def aggregate_of(command_type: str) -> AggregateTopics | None:
    """Return the topics of the aggregate that handles commands of a type; None if the type is unknown."""
    return next((each for each in AGGREGATES.values() if command_type in each.types), None)


def group_of(role: Role, settings: Settings) -> str:
    """Return the consumer group of a role."""
    return settings.named(role)


def instance_of(role: Role, settings: Settings) -> str:
    """Return the static member id of this worker (`group.instance.id`), which is its transactional id as well."""
    return f"{instances_of(role, settings)}{settings.instance}"


def instances_of(role: Role, settings: Settings) -> str:
    """Return what the ids of all workers of a role begin with."""
    return f"{group_of(role, settings)}-"


def webhook_writers(settings: Settings) -> str:
    """Return what the transactional ids of writers of webhook subscriptions begin with; the partition follows."""
    return settings.named("webhooks-")
