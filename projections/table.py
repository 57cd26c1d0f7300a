"""The read models, as a table: which topic is folded into which documents."""

from dataclasses import replace

from projections import (
    commands,
    customer_orders,
    customer_summary,
    inventory,
    older,
    order_events,
    orders,
    reservations,
    stock_ledger,
    work_queue,
)
from projections.projection import Model, Projection, Record, Summed
from streams.messages.codec import decode_event
from streams.messages.envelope import EventMessage, Outcome
from streams.topics import COMMAND_OUTCOMES, INVENTORY_EVENTS, ORDER_EVENTS


def event_in(record: Record) -> EventMessage:
    """Return the event in `record`."""
    return decode_event(record.value or b"")


def outcome_in(record: Record) -> Outcome:
    """Return the outcome in `record`."""
    return Outcome.decode(record.value or b"")


def aggregate(message: EventMessage) -> str:
    """Return the id of the aggregate of `message`."""
    return message.key


def is_first(message: EventMessage) -> bool:
    """Return whether `message` is the first of its aggregate."""
    return message.sequence == 1


ORDERS = Projection(
    name="orders",
    topic=ORDER_EVENTS,
    decode=event_in,
    shape=2,
    logs={"order_events": order_events.LOG},
    models=(
        Model(
            collection="orders",
            key=aggregate,
            begins=is_first,
            fold=orders.fold,
            view_of=orders.view_of,
            document_of=orders.document_of,
            derived={"customer_orders": customer_orders.DERIVED, "work_queue": work_queue.DERIVED},
            rendered=True,
            sorts=("-createdAt", "createdAt", "-updatedAt", "updatedAt"),
        ),
    ),
)
INVENTORY = Projection(
    name="inventory",
    topic=INVENTORY_EVENTS,
    decode=event_in,
    shape=2,
    logs={"stock_ledger": stock_ledger.LOG},
    models=(
        Model(
            collection="inventory",
            key=aggregate,
            begins=is_first,
            fold=inventory.fold,
            view_of=inventory.view_of,
            document_of=inventory.document_of,
            visible={"exists": True},
            sorts=("id", "-id"),
        ),
        Model(
            collection="reservations",
            key=reservations.key,
            begins=reservations.begins,
            fold=reservations.fold,
            view_of=reservations.view_of,
            document_of=reservations.document_of,
            gapless=False,
            sorts=("id", "-id"),
            partial_sorts=("place",),
        ),
    ),
)
COMMANDS = Projection(
    name="commands",
    topic=COMMAND_OUTCOMES,
    decode=outcome_in,
    logs={"commands": commands.LOG},
)
CUSTOMER_SUMMARY = Projection(
    name="customer_summary",
    topic=ORDER_EVENTS,
    decode=event_in,
    types=frozenset({"OrderPlaced"}),
    sees=customer_summary.placed,
    sums=True,
    models=(
        Model(
            collection="customer_summary",
            key=customer_summary.key,
            begins=customer_summary.begins,
            fold=customer_summary.fold,
            view_of=customer_summary.view_of,
            document_of=customer_summary.document_of,
            gapless=False,
            summed=Summed("customerId", customer_summary.total),
        ),
    ),
)
PROJECTIONS = (ORDERS, INVENTORY, COMMANDS, CUSTOMER_SUMMARY)  # the newest shape of each
OLDER_SHAPES = (  # older shapes that installations may still have; kept until all have retired them
    replace(
        ORDERS,
        shape=1,
        logs={"order_events": older.ORDER_EVENTS},
        models=(replace(ORDERS.models[0], document_of=older.order_document),),
    ),
    replace(INVENTORY, shape=1, logs={"stock_ledger": older.STOCK_LEDGER}),
)


def shape_of(name: str, shape: int) -> Projection | None:
    """Return a projection in one of its shapes; None if this code does not know it."""
    known = (one for one in (*PROJECTIONS, *OLDER_SHAPES) if (one.name, one.shape) == (name, shape))
    return next(known, None)
