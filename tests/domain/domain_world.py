"""Orders, stock and the process manager in memory, with messages in flight between them.

Each pair of sender and receiver has its own queue: messages keep their order within a queue, as on Kafka, but not
between queues.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec

from domain import fulfilment, inventory, orders
from domain.errors import CorruptHistory, Rejection
from domain.inventory import Shelf
from domain.inventory.commands import SetStock
from domain.inventory.events import StockReserved
from domain.policy import MANUAL, AllocationPolicy

Address = tuple[str, str]  # ("order" | "inventory", key)


@dataclass
class World:
    """All aggregates, and all messages in flight."""

    placed: dict[str, orders.Order] = field(default_factory=dict)
    shelves: dict[str, Shelf] = field(default_factory=dict)
    histories: dict[Address, list[Any]] = field(default_factory=dict)
    under_way: dict[tuple[Address, Address], deque[Any]] = field(default_factory=dict)
    delivered: list[tuple[Address, Any]] = field(default_factory=list)
    commands_heard: int = 0

    def tell(self, aggregate: str, key: str, command: Any) -> list[Any] | Rejection:
        """Let an aggregate decide a command; its events are applied, and the commands they cause are put in flight."""
        try:
            events = self.order(key, command) if aggregate == "order" else self.product(key, command)
        except CorruptHistory:
            raise
        except Rejection as no:
            return no
        history = self.histories.setdefault((aggregate, key), [])
        for event in events:
            assert is_valid(event)
            history.append(event)
            for request in fulfilment.commands(event, key, len(history)):
                way = (aggregate, key), (request.aggregate, request.key)
                self.under_way.setdefault(way, deque()).append(request.command)
        return events

    def order(self, key: str, command: Any) -> list[Any]:
        self.commands_heard += 1
        command = orders.identified(command, f"c{self.commands_heard}")
        state = orders.OrderState(key, self.placed.get(key))
        events = orders.decide(command, state)
        for event in events:
            state = orders.evolve(state, event)
            assert state.order is not None
            self.placed[key] = state.order
        return events

    def product(self, key: str, command: Any) -> list[Any]:
        shelf = self.shelves.setdefault(key, Shelf(key))
        events = shelf.decide(command)
        needs_no_more_of_the_queue(command, events, shelf)
        for event in events:
            served_fairly(event, shelf)
            shelf.apply(event)
            stock_adds_up(shelf)
        if isinstance(command, SetStock):
            assert not shelf.decide(command), "setting the same quantity again changed something"
        return events

    def deliver(self, number: int, twice: bool = False) -> None:
        """Deliver the next message of one of the queues."""
        ways = sorted(self.under_way)
        if ways:
            way = ways[number % len(ways)]
            command = self.under_way[way].popleft()
            if not self.under_way[way]:
                del self.under_way[way]
            self.delivered.append((way[1], command))
            for _ in range(2 if twice else 1):
                self.tell(*way[1], command)

    def deliver_again(self, number: int) -> None:
        """Deliver a message again that was delivered before, perhaps long ago."""
        if self.delivered:
            address, command = self.delivered[number % len(self.delivered)]
            self.tell(*address, command)

    def settle(self) -> None:
        """Deliver all messages in flight, and all that they cause."""
        for number in range(100_000):
            if not self.under_way:
                return
            self.deliver(number)
        raise AssertionError("never comes to rest")


def is_valid(event: Any) -> bool:
    """Return whether an event equals the one decoded from its JSON, although it was constructed without checks."""
    read = msgspec.json.decode(msgspec.json.encode(event), type=type(event))
    return read == event and repr(read) == repr(event)


def needs_no_more_of_the_queue(command: Any, events: Any, shelf: Shelf) -> None:
    """The whole queue leads to the same decision as the lines that are read from it."""
    state = shelf.state_for(command)
    queue = [line for line in shelf.reservations.values() if line.place is not None]
    whole = tuple(sorted(queue, key=lambda line: line.place or 0))
    assert whole[: len(state.waiting)] == state.waiting
    assert (
        inventory.decide(command, inventory.StockState(shelf.product_id, shelf.stock, state.reservation, whole))
        == events
    )


def served_fairly(event: Any, shelf: Shelf) -> None:
    """No line is served while an earlier one waits."""
    if isinstance(event, StockReserved):
        places = [line.place for line in shelf.reservations.values() if line.place is not None]
        assert not places or (event.place is not None and event.place == min(places))


def stock_adds_up(shelf: Shelf) -> None:
    stock, balance, lines = shelf.stock, shelf.stock.balance, shelf.reservations.values()
    assert balance.available == balance.on_hand - balance.allocated >= 0
    assert balance.received + balance.adjusted + balance.restocked == balance.on_hand + balance.shipped
    assert balance.allocated == sum(line.held for line in lines)
    assert balance.backordered == sum(line.waiting for line in lines)
    assert balance.shipped == sum(line.shipped for line in lines)
    assert balance.damaged == sum(line.damaged for line in lines)
    places = [line.place for line in lines if line.waiting]
    assert len(set(places)) == len(places)
    assert all(place is not None and stock.queue_head <= place < stock.queue_tail for place in places)
    assert all((line.place is None) == (line.waiting == 0) for line in lines)
    assert places or stock.queue_head == stock.queue_tail


def order_adds_up(order: orders.Order) -> None:
    for line in order.lines:
        figures = (line.cancelled, line.pending, line.backordered, line.allocated, line.shipped)
        assert min(*figures, line.damaged, line.rejected) >= 0
        assert line.ordered == sum(figures)
        assert line.damaged <= line.returned <= line.delivered <= line.shipped
        assert line.rejected <= line.cancelled
        sent = [(s.status, part) for s in order.shipments for part in s.lines if part.line_id == line.line_id]
        assert line.shipped == sum(part.quantity for status, part in sent if status != "CANCELLED")
        assert line.delivered == sum(part.delivered for _, part in sent)
    assert order.cancelled == (order.status == "CANCELLED")
    assert (order.allocation_status is None) == order.cancelled


def at_rest(world: World) -> None:
    """Once no messages are in flight, orders and stock agree to the unit."""
    for stock in [shelf.stock for shelf in world.shelves.values()]:
        assert stock.discontinued or stock.balance.available == 0 or stock.balance.backordered == 0
        assert not (stock.discontinued and stock.balance.backordered)
    for order_id, order in world.placed.items():
        for line in order.lines:
            held = world.shelves[line.product_id].reservations.get((order_id, line.line_id))
            assert held is not None
            assert line.pending == 0
            assert (line.allocated, line.backordered, line.shipped) == (held.held, held.waiting, held.shipped)
            assert (line.returned, line.damaged) == (held.received, held.damaged)
            assert order.policy is AllocationPolicy.BACKORDER or line.backordered == 0
        if order.policy is AllocationPolicy.ALL_OR_NOTHING and not order.cancelled:
            assert all(line.rejected == 0 for line in order.lines)
    known = {(order_id, line.line_id) for order_id, order in world.placed.items() for line in order.lines}
    for shelf in world.shelves.values():
        assert all(key in known or key[1] == MANUAL for key in shelf.reservations)


def remembered(world: World) -> None:
    """The histories alone give the current states."""
    for (aggregate, key), history in world.histories.items():
        if aggregate == "order":
            order = None
            for event in history:
                order = orders.evolve_order(order, event)
            assert order == world.placed[key]
        else:
            shelf = Shelf(key)
            for event in history:
                shelf.apply(event)
            assert vars(shelf) == vars(world.shelves[key])
