"""Orders, stock and the process manager in memory, with messages in flight between them.

Each pair of sender and receiver has its own queue: messages keep their order within a queue, as on Kafka, but not
between queues.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from domain_laws import (
    is_read_as_written,
    needs_no_more_of_the_queue,
    served_fairly,
    stock_adds_up,
    waits_for_nothing_that_is_there,
)

from domain import fulfilment, orders
from domain.errors import CorruptHistory, Rejection
from domain.inventory import Shelf
from domain.inventory.commands import CountStock, SetStock
from domain.inventory.events import StockRequeued
from domain.inventory.locations import held_at
from domain.orders.archiving import archive
from domain.orders.locating import allocated_at
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
    set_back: set[tuple[str, str]] = field(default_factory=set)  # product and order of lines that a count made wait

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
            is_read_as_written(event)
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

    def archive(self, key: str) -> None:
        """Archive an order, if it is closed."""
        if (order := self.placed.get(key)) is not None:
            for event in archive(order):
                is_read_as_written(event)
                self.placed[key] = orders.evolve_order(order, event)
                self.histories["order", key].append(event)

    def product(self, key: str, command: Any) -> list[Any]:
        shelf = self.shelves.setdefault(key, Shelf(key))
        events = shelf.decide(command)
        needs_no_more_of_the_queue(command, events, shelf)
        for event in events:
            served_fairly(event, shelf)
            shelf.apply(event)
            stock_adds_up(shelf)
            if isinstance(event, StockRequeued):
                self.set_back.add((key, event.order_id))
        if isinstance(command, SetStock | CountStock):
            assert not shelf.decide(command), "setting or counting the same quantity again changed something"
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


def at_rest(world: World) -> None:
    """Once no messages are in flight, orders and stock agree to the unit."""
    for shelf in world.shelves.values():
        waits_for_nothing_that_is_there(shelf)
    for order_id, order in world.placed.items():
        for line in order.lines:
            held = world.shelves[line.product_id].reservations.get((order_id, line.line_id))
            assert held is not None
            assert line.pending == 0
            assert order.proposal is None or not order.proposal.asked
            left = line.shipped + line.lost
            assert (line.allocated, line.backordered, left) == (held.held, held.waiting, held.shipped)
            there = {each.location: each.held for each in held_at(held) if each.held}
            assert allocated_at(order, line) == there
            assert (line.returned, line.damaged) == (held.received, held.damaged)
            waits = order.policy is AllocationPolicy.BACKORDER or (line.product_id, order_id) in world.set_back
            assert waits or line.backordered == 0
        was_set_back = any(each == order_id for _, each in world.set_back)  # perhaps when a part of it had shipped
        had_another = was_set_back or "policy" in order.changed
        if order.policy is AllocationPolicy.ALL_OR_NOTHING and not order.cancelled and not had_another:
            assert all(line.rejected == 0 or line.added for line in order.lines)
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
