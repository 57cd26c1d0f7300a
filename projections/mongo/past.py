"""Orders and products at an earlier moment: their history, folded by the domain's own `evolve`.

NotThen                     there is a history, but nothing of it at the moment that was asked for

Times of an aggregate's events never decrease, so the events up to a moment are the beginning of its history. Events of
older code have the times that producers gave, which are arbitrary. Such an event counts from its time, or from the
latest time before it in the history if that is later, but no later than a newer event.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import takewhile
from typing import Any, NamedTuple, cast

from projections import inventory, orders, stock_ledger
from projections.document import Document, public
from projections.mongo.client import Collection
from projections.mongo.indexes import TURNED
from projections.mongo.queries import Queries
from projections.projection import History
from streams.messages.envelope import Aggregate, EventMessage, event_id

PATIENCE_MS = 10_000  # all movements that older code wrote of a product may have to be read
_CREATED = [event.__name__ for event in stock_ledger.CREATED]


class Moment(NamedTuple):
    """A moment: a version of the aggregate, or a time (UTC with milliseconds)."""

    version: int | None = None
    as_of: str | None = None


class NotThen(Exception):
    """The moment is before the first event or after the last one; `first_at` and `last` are their times."""

    def __init__(self, first_at: str, last: int, last_at: str) -> None:
        super().__init__(f"versions exist from 1 to {last}, from {first_at} to {last_at}")
        self.first_at, self.last, self.last_at = first_at, last, last_at


class Past:
    """The read models at an earlier moment, in the shape of today's answers."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def show(self, model: str, identifier: str, moment: Moment) -> tuple[Document, int] | None:
        """Return an aggregate's `orders` or `inventory` document at a moment, and its version; None if unknown.

        Raise `NotThen` if it did not exist at that moment.
        """
        return await (self._order if model == "orders" else self._product)(identifier, moment)

    async def _order(self, order_id: str, moment: Moment) -> tuple[Document, int] | None:
        history = await self._queries.history(order_id)
        if not history:
            return None
        view = view_at(history, moment)
        if view is None or (moment.version or 0) > view.version:
            raise NotThen(history[0].time, history[-1].sequence, history[-1].time)
        return orders.shown_of(view), view.version

    async def _product(self, product_id: str, moment: Moment) -> tuple[Document, int] | None:
        """Fold the events that matter: the first, the last switch on or off, and the latest balance, which is a
        total."""
        ledger = _Ledger(*self._queries.log("stock_ledger"), product_id)
        created = await ledger.first({"type": {"$in": _CREATED}})
        if created is None:
            return None
        last = cast(EventMessage, await ledger.newest())
        then = await self._then(ledger, moment, last)
        if then is None or then.sequence < created.sequence:
            raise NotThen(created.time, last.sequence, last.time)
        turned = await ledger.newest(TURNED, upto=then.sequence)
        bearing = sorted((each for each in (created, turned) if each is not None), key=lambda each: each.sequence)
        view = cast(inventory.ProductView, reduce(inventory.fold, bearing, cast(inventory.ProductView | None, None)))
        view = inventory.moved(view, then)
        document = inventory.document_of(view)
        document.pop("transfers", None)  # the ledger entry knows only the units in transit
        return public(document), view.version

    async def _then(self, ledger: "_Ledger", moment: Moment, last: EventMessage) -> EventMessage | None:
        """Return the last movement up to the moment."""
        if moment.version is not None:
            return await ledger.number(moment.version)
        as_of = cast(str, moment.as_of)
        last_one = last if _is_movement_of_ours(last) and last.time <= as_of else await _last_upto(ledger, as_of, last)
        if last_one is not None and _is_movement_of_ours(last_one):
            return last_one
        then = await ledger.newest({"time": {"$lte": as_of}}, upto=last_one.sequence if last_one else 0)
        if then is None:
            return None
        later = await ledger.first({"time": {"$gt": as_of}})
        return await ledger.number(later.sequence - 1 if later else last.sequence)


async def _last_upto(ledger: "_Ledger", as_of: str, last: EventMessage) -> EventMessage | None:
    """Return the last movement up to a time, by halving its sequence; movements of older code come before it."""
    low, high, found = 0, last.sequence, None
    while low < high:
        middle = (low + high + 1) // 2
        one = await ledger.newest(upto=middle)  # a skipped event leaves a gap
        if one is None or one.time <= as_of or not _is_movement_of_ours(one):
            low, found = middle, one
        else:
            high = one.sequence - 1
    return found


class _Ledger(NamedTuple):
    """The movements of one product."""

    entries: Collection
    history: History
    product_id: str

    async def first(self, where: Document) -> EventMessage | None:
        """Return the first movement that matches."""
        return await self._one({**self.history.between(self.product_id), **where}, 1)

    async def newest(self, where: Mapping[str, Any] = {}, upto: int | None = None) -> EventMessage | None:
        """Return the last movement that matches, up to a sequence."""
        return await self._one({**self.history.between(self.product_id, last=upto), **where}, -1)

    async def number(self, sequence: int) -> EventMessage | None:
        """Return the movement with a sequence."""
        return await self._one(self.history.between(self.product_id, sequence, sequence), 1)

    async def _one(self, where: Document, direction: int) -> EventMessage | None:
        order = [(self.history.order, direction)]
        found = await self.entries.find_one(where, sort=order, max_time_ms=PATIENCE_MS)
        return None if found is None else self.history.message_of(found)


def view_at(history: Sequence[EventMessage], moment: Moment) -> orders.OrderView | None:
    """Return an order at a moment; None if it did not exist yet."""
    return reduce(orders.fold, _upto(history, moment), cast(orders.OrderView | None, None))


def _upto(history: Sequence[EventMessage], moment: Moment) -> list[EventMessage]:
    """Return the events that count."""
    if moment.version is not None:
        return [message for message in history if message.sequence <= moment.version]
    as_of = cast(str, moment.as_of)
    for number in range(len(history), 0, -1):
        last = history[number - 1]
        if last.time <= as_of and _is_ours("order", last.key, last.id, last.sequence):
            return list(history[:number])
    return list(takewhile(lambda message: message.time <= as_of, history))


def _is_movement_of_ours(movement: EventMessage) -> bool:
    return _is_ours("inventory", movement.key, movement.id, movement.sequence)


def _is_ours(aggregate: Aggregate, aggregate_id: str, identifier: str, sequence: int) -> bool:
    """Return whether the broker set an event's time; events of older code also have ids of another form."""
    return identifier == event_id(aggregate, aggregate_id, sequence)
