"""A projector that was paused, and whose partition has a new owner, writes no document beside a newer one elsewhere."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest
from projection_histories import ORDERS, allocate, order_history, place, records

from domain.message import Event
from domain.orders.commands import CreateShipment, DeliverShipment
from domain.orders.events import OrderArchived, ReturnLine, ReturnRequested
from projections.batch import Part
from projections.cache import Cache
from projections.document import Document
from projections.mongo.writes import DUPLICATE_KEY
from projections.pipeline import project
from projections.table import ORDERS as TODAY
from streams.messages.envelope import EventMessage

LIVE, ASIDE = "orders_v1", "orders_archive_v1"


@dataclass
class Memory:
    """A database in memory, which knows the commands of a projector; `before` runs once, before it writes to `at`."""

    documents: dict[str, dict[str, Document]] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)  # the collections that were searched
    at: str = ""
    before: Callable[[], Awaitable[None]] | None = None

    def collection(self, name: str) -> Any:
        def find(where: Document, *_: Any, **__: Any) -> Any:
            self.found.append(name)
            some = [each for key, each in self.of(name).items() if key in where["_id"]["$in"]]
            return SimpleNamespace(to_list=lambda _: _value(some))

        return SimpleNamespace(
            name=name, database=self, codec_options=None, write_concern=SimpleNamespace(document={}), find=find
        )

    def of(self, name: str) -> dict[str, Document]:
        return self.documents.setdefault(name, {})

    async def command(self, command: Mapping[str, Any], **_: Any) -> Document:
        kind, name = next(iter(command.items()))
        if name == self.at and self.before is not None:
            before, self.before = self.before, None
            await before()
        return getattr(self, f"_{kind}")(self.of(name), command)  # type: ignore[no-any-return]

    def _insert(self, there: dict[str, Document], command: Mapping[str, Any]) -> Document:
        errors: list[Document] = []
        for index, document in enumerate(command["documents"]):
            if there.setdefault(document["_id"], document) is not document:
                errors.append({"index": index, "code": DUPLICATE_KEY})
        return {"n": len(command["documents"]) - len(errors), "writeErrors": errors}

    def _update(self, there: dict[str, Document], command: Mapping[str, Any]) -> Document:
        changed = 0
        for update in command["updates"]:
            key, new = update["q"]["_id"], update["c"]["new"]
            if key not in there or there[key]["sequence"] < new["sequence"]:
                there[key] = new
                changed += 1
        return {"n": len(command["updates"]), "nModified": changed}

    def _delete(self, there: dict[str, Document], command: Mapping[str, Any]) -> Document:
        for delete in command["deletes"]:
            key, below = delete["q"]["_id"], delete["q"]["sequence"]["$lt"]
            if key in there and there[key]["sequence"] < below:
                del there[key]
        return {"n": 0}


async def _value(value: Any) -> Any:
    return value


def story(*events: Event) -> list[EventMessage]:
    """Return the history of an order that was delivered, and of what followed."""
    shipment = CreateShipment(shipment_id="s-1"), DeliverShipment(shipment_id="s-1")
    history = order_history("o-1", place(("boot", 2)), allocate("boot", 2), *shipment)
    more = [
        EventMessage(f"{n}", "o-1", event, n, f"2026-12-0{n}T00:00:00.000Z", "order", "flow", "cause")
        for n, event in enumerate(events, len(history) + 1)
    ]
    return [*history, *more]


LATE = ReturnRequested(return_id="r-1", lines=(ReturnLine(line_id="1", product_id="boot", quantity=1),), reason="?")
MOVES = (OrderArchived(), LATE, OrderArchived(), LATE)


async def apply(memory: Memory, history: Sequence[EventMessage], unmoved: float = -inf) -> None:
    database: Any = memory
    part = Part(TODAY, ORDERS, 0, records(*history))
    await project(database, Cache(), [part], unmoved=unmoved)
    assert part.stop is None


@pytest.mark.parametrize("reached", range(1, 8))
@pytest.mark.parametrize("later", range(1, 5))
async def test_the_newest_document_is_the_only_one(reached: int, later: int) -> None:
    whole = story(*MOVES)
    expected, memory = Memory(), Memory()
    end = min(reached + later, len(whole))
    await apply(expected, whole[:end])
    overtaken = 0
    for memory.at in (LIVE, ASIDE):
        memory.documents.clear()
        memory.before = lambda: apply(memory, whole[:end])
        await apply(memory, whole[:reached])
        if memory.before is None:
            overtaken += 1
            assert [memory.of(name) for name in (LIVE, ASIDE)] == [expected.of(name) for name in (LIVE, ASIDE)]
    assert overtaken


@pytest.mark.parametrize(("unmoved", "looks"), [(inf, False), (-inf, True)])
async def test_documents_that_cannot_have_moved_yet_are_not_looked_for(unmoved: float, looks: bool) -> None:
    memory = Memory()
    await apply(memory, story(), unmoved)
    assert (ASIDE in memory.found) is looks
