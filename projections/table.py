"""The read models, as a table: which topic is folded into which documents."""

from dataclasses import replace

from domain.inventory.state import ProductStatus
from domain.orders.status import AllocationStatus, OrderStatus
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
from projections.projection import Archive, Counted, Model, Projection, Record, Summed
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
    shape=3,
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
            counted=Counted("order_counts", orders.kinds_of),
            archive=Archive("orders_archive", orders.is_archived, orders.changed),
            sorts=("-createdAt", "createdAt", "-updatedAt", "updatedAt"),
            values={"status": tuple(OrderStatus), "allocationStatus": (*AllocationStatus, None)},
        ),
    ),
)
INVENTORY = Projection(
    name="inventory",
    topic=INVENTORY_EVENTS,
    decode=event_in,
    shape=3,
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
            counted=Counted("product_counts", inventory.kinds_of),
            sorts=("id", "-id"),
            values={"status": tuple(ProductStatus)},
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


def _uncounted(projection: Projection, shape: int) -> Projection:
    """Return a projection as it was before its documents were counted, with fewer indexes."""
    model, *others = projection.models
    return replace(projection, shape=shape, models=(replace(model, counted=None, values={}), *others))


ORDERS_2, INVENTORY_2 = _uncounted(ORDERS, 2), _uncounted(INVENTORY, 2)
OLDER_SHAPES = (  # older shapes that installations may still have; kept until all have retired them
    replace(
        ORDERS_2,
        shape=1,
        logs={"order_events": older.ORDER_EVENTS},
        models=(replace(ORDERS_2.models[0], document_of=older.order_document),),
    ),
    replace(INVENTORY_2, shape=1, logs={"stock_ledger": older.STOCK_LEDGER}),
    ORDERS_2,
    INVENTORY_2,
)


def shape_of(name: str, shape: int) -> Projection | None:
    """Return a projection in one of its shapes; None if this code does not know it."""
    known = (one for one in (*PROJECTIONS, *OLDER_SHAPES) if (one.name, one.shape) == (name, shape))
    return next(known, None)
