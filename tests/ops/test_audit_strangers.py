"""An audit finds documents that no event can explain, whatever their ids are."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from audit_world import World
from bson import ObjectId

from domain.inventory.commands import ReceiveStock
from ops.audit import strangers
from ops.audit.buckets import Buckets
from ops.audit.documents import Documents
from ops.audit.report import Report
from ops.audit.strangers import Strangers
from ops.kafka import records
from ops.kafka.records import BulkRecord
from projections.document import Document
from projections.table import INVENTORY
from streams.messages.envelope import EventMessage
from streams.runtime.settings import Settings

STRANGE: list[Any] = [7, ObjectId("65f000000000000000000000"), {"product": "boots"}]


class Found(list[Document]):
    """The documents of a query, which can be read one by one or all at once."""

    async def __aiter__(self) -> Any:  # type: ignore[override]
        for document in list.__iter__(self):
            yield document

    async def to_list(self, length: None) -> list[Document]:
        return self


class Stored:
    """A collection in memory."""

    def __init__(self, *documents: Document) -> None:
        self._documents = documents

    def find(self, query: Document, *_: Any, **__: Any) -> Found:
        wanted = query["_id"]["$in"] if query else [each["_id"] for each in self._documents]
        return Found(each for each in self._documents if each["_id"] in wanted)


class InMemory(Documents):
    """The documents of a projection, in memory: `boots`, which has events, and others."""

    def __init__(self, report: Report, *others: Document) -> None:
        super().__init__(None, INVENTORY, report)  # type: ignore[arg-type]
        object.__setattr__(self, "stored", Stored({"_id": "boots"}, *others))

    def of(self, name: str) -> Any:
        return self.stored  # type: ignore[attr-defined]


Find = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """Return the keys of the strangers that an audit reports among the documents of products."""
    known, folder = tmp_path / "known", tmp_path / "folder"
    for each in (known, folder):
        each.mkdir()
    written = Buckets(known, 2)
    written.add_id("inventory", "boots")
    written.close()

    async def find(*others: Document) -> list[str]:
        documents, settings = InMemory(report := Report(), *others), Settings(data=tmp_path)
        await Strangers(settings, documents, "inventory", [known], folder, 2, broken={"hats"}).find({0: 0})
        return sorted(drift.key for drift in report.drifts)

    return find


@pytest.fixture
def no_later_events(monkeypatch: pytest.MonkeyPatch) -> None:
    events_since(monkeypatch)


def events_since(monkeypatch: pytest.MonkeyPatch, *messages: EventMessage) -> None:
    """Let the topic have these events after the audit's end."""
    batch = [BulkRecord(each.key.encode(), each.encode(), 0, 0, 0) for each in messages]
    monkeypatch.setattr(records, "ends", lambda *_: {0: len(batch)})
    monkeypatch.setattr(records, "read", lambda *_: iter([batch]))


@pytest.mark.usefixtures("no_later_events")
async def test_documents_with_ids_of_other_types_are_found(find: Find) -> None:
    found = await find(*({"_id": each, "productId": {"strange": True}} for each in STRANGE))
    assert found == sorted(map(str, STRANGE))


@pytest.mark.usefixtures("no_later_events")
async def test_a_document_is_found_whatever_its_id_contains(find: Find) -> None:
    assert await find({"_id": "two\nlines\r"}, {"_id": "ü"}, {"_id": ""}) == ["", "two\nlines\r", "ü"]


async def test_documents_that_are_explained_leave_room_for_strangers(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "AT_MOST", 2)
    world, new = World(), [f"new-{number}" for number in range(10)]
    for product in new:
        world.stock(product, ReceiveStock(quantity=1))
    events_since(monkeypatch, *world.logs["inventory"])
    of_broken = [{"_id": f"hats/o-{number}/1", "productId": "hats"} for number in range(10)]
    explained = [*({"_id": product} for product in new), *of_broken]
    assert await find(*explained) == []
    assert await find(*explained, {"_id": "stranger"}) == ["stranger"]
    assert len(await find(*explained, *({"_id": f"stranger-{number}"} for number in range(9)))) == 2
