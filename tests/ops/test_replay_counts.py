"""A replay of some aggregates says when the counts may be wrong."""

from dataclasses import replace
from typing import Any, cast

import pytest
from audit_world import TIME, World, place

from domain.inventory.commands import ReceiveStock
from domain.orders.commands import Hold
from ops.kafka.records import BulkRecord
from ops.replay.aggregates import Written, _Partition
from ops.versions.work import Work
from projections.document import Document
from projections.table import ORDERS


class Stored(dict[str, Document]):
    """A database with the collection of live orders, in memory."""

    matched_count = 1

    def durable(self, name: str) -> "Stored":
        return self if name == "orders_v1" else Stored()

    collection = durable

    def find(self, query: Document, **_: Any) -> "Stored":
        return self

    async def to_list(self, _: None) -> list[Document]:
        return list(self.values())

    async def insert_one(self, document: Document) -> None:
        self[document["_id"]] = document

    async def replace_one(self, same: Document, document: Document) -> "Stored":
        self[same["_id"]] = document
        return self


async def replayed(stored: Stored) -> int:
    """Replay an order that is on hold; return how many documents are counted otherwise than before."""
    world = World()
    world.stock("boots", ReceiveStock(quantity=10))
    world.order("o-1", place(boots=2), Hold(reason="?"))
    work = Work(cast(Any, None), cast(Any, stored), cast(Any, None))
    partition = _Partition(work, replace(ORDERS, logs={}), cast(Any, None), 0, {b"o-1"})
    for offset, message in enumerate(world.logs["order"]):
        partition.folded.apply(message, cast(Any, BulkRecord(b"o-1", None, 0, offset, 0)))
    assert await partition.write() == 1
    return partition.recounted


@pytest.mark.parametrize(
    ("damage", "count"),
    [({"carrier": "?"}, 0), ({"_pickableSince": TIME}, 1), ({"_json": "?"}, 1)],
    ids=["of the same kind", "of another kind", "unreadable"],
)
async def test_a_document_that_is_counted_otherwise_than_before_is_noted(damage: Document, count: int) -> None:
    stored = Stored()
    assert await replayed(stored) == 1, "there was none"
    right = dict(stored["o-1"])
    stored["o-1"] = {**right, **damage}
    assert await replayed(stored) == count
    assert stored["o-1"] == right


def test_the_command_says_how_the_counts_are_corrected() -> None:
    assert "audit" not in str(Written(1, 5, 1))
    assert str(Written(1, 5, 1, recounted=1)).endswith("run `fulfillment audit --repair` to correct the counts")
