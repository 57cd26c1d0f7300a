"""The laws that every state and event of an order or a product obeys, whatever happened."""

from typing import Any

import msgspec
from msgspec.structs import replace

from domain import inventory, orders
from domain.inventory import Reservation, Shelf
from domain.inventory.events import ReservationEvent, StockReserved
from domain.inventory.locations import chosen, held_at
from ops.audit.laws import location_laws


def is_read_as_written(value: msgspec.Struct) -> None:
    """Check the types, which code that constructs structs does not check."""
    read: Any = msgspec.json.decode(msgspec.json.encode(value), type=type(value))
    assert read == value
    assert repr(read) == repr(value)


def needs_no_more_of_the_queue(command: Any, events: Any, shelf: Shelf) -> None:
    """The whole queue leads to the same decision as the lines that are read from it."""
    state = shelf.state_for(command)
    queue = [line for line in shelf.reservations.values() if line.place is not None]
    whole = tuple(sorted(queue, key=lambda line: line.place or 0))
    assert whole[: len(state.waiting)] == state.waiting
    assert inventory.decide(command, replace(state, waiting=whole)) == events


def served_fairly(event: Any, shelf: Shelf) -> None:
    """No line is served while an earlier one waits."""
    if isinstance(event, StockReserved) and not shelf.stock.locations:
        places = [line.place for line in shelf.reservations.values() if line.place is not None]
        assert not places or (event.place is not None and event.place == min(places))


def stock_adds_up(shelf: Shelf) -> None:
    stock, balance, lines = shelf.stock, shelf.stock.balance, shelf.reservations.values()
    assert balance.available == balance.on_hand - balance.allocated >= 0
    assert (
        balance.received + balance.adjusted + balance.restocked
        == balance.on_hand + balance.in_transit + balance.shipped
    )
    assert balance.allocated == sum(line.held for line in lines)
    assert balance.backordered == sum(line.waiting for line in lines)
    assert balance.shipped == sum(line.shipped for line in lines)
    assert balance.damaged == sum(line.damaged for line in lines)
    assert list(location_laws(stock, lines)) == []
    places = [line.place for line in lines if line.waiting]
    assert len(set(places)) == len(places)
    assert all(place is not None and stock.queue_head <= place < stock.queue_tail for place in places)
    assert all((line.place is None) == (line.waiting == 0) for line in lines)
    assert places or stock.queue_head == stock.queue_tail


def order_adds_up(order: orders.Order) -> None:
    for line in order.lines:
        figures = (line.cancelled, line.lost, line.pending, line.backordered, line.allocated, line.shipped)
        assert min(*figures, line.damaged, line.rejected) >= 0
        assert line.ordered == sum(figures)
        assert line.damaged <= line.returned <= line.delivered <= line.shipped
        assert line.rejected <= line.cancelled
        back = [part for each in order.returns for part in each.lines if part.line_id == line.line_id]
        assert (line.returned, line.damaged) == (sum(p.received for p in back), sum(p.damaged for p in back))
        assert all(part.damaged <= part.received <= part.quantity for part in back)
        sent = [(s.status, part) for s in order.shipments for part in s.lines if part.line_id == line.line_id]
        left = [part for status, part in sent if status != "CANCELLED"]
        assert line.shipped == sum(part.quantity - part.lost for part in left)
        assert line.lost == sum(part.lost for part in left)
        assert line.delivered == sum(part.delivered for _, part in sent)
    assert order.total_cost.amount == sum(line.ordered * line.price.amount for line in order.lines)
    assert len({hold.hold_id for hold in order.holds}) == len(order.holds)
    assert order.cancelled == (order.status == "CANCELLED")
    assert (order.allocation_status is None) == order.cancelled


def follows(before: Reservation | None, after: Reservation, event: ReservationEvent) -> None:
    """A reservation has the totals of its last event; its version and its returned units never decrease."""
    assert (after.reserved, after.waiting, after.rejected) == (event.reserved, event.backordered, event.rejected)
    assert after.order_version == event.order_version
    if before is not None:
        assert after.order_version >= before.order_version
        assert after.received >= before.received
        assert after.damaged >= before.damaged


def waits_for_nothing_that_is_there(shelf: Shelf) -> None:
    """No line waits for units that it may have."""
    stock, balance = shelf.stock, shelf.stock.balance
    waiting = [line for line in shelf.reservations.values() if line.waiting]
    if stock.discontinued:
        assert not waiting
    elif stock.locations:
        assert not any(chosen(stock.locations, line.plan, line.waiting, held_at(line)) for line in waiting)
    else:
        assert balance.available == 0 or balance.backordered == 0
