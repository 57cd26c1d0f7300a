"""Decide hand-made records without a broker, and merge the results as after a commit."""

import json
from collections.abc import Sequence
from typing import Any

from aiokafka import ConsumerRecord
from faust.types import TP

from agents.deciding import Decided, Deciding
from agents.inventory import PRODUCT
from agents.refusing import Refusal
from parking.queue import Letters, parked
from streams.kafka.partitions import partition_of
from streams.kafka.transport import Fetch, Member, Part
from streams.runtime import faults
from streams.runtime.app import create_app
from streams.runtime.settings import Settings
from tables.rows import MemoryRows
from tables.stock import stock_table
from tables.store import Entries

TOPIC = "inventory-commands"
HOME = {"street": "1 High St", "city": "Bath", "state": "SOM", "zipCode": "BA1", "country": "GB"}
LINE = {"productId": "parked-boots", "quantity": 1, "price": {"amount": 1000, "currency": "EUR"}}
ORDER = {"customerId": "c-1", "lines": [LINE], "shippingAddress": HOME, "billingAddress": HOME}


def keys(count: int, partition: int = 1) -> list[str]:
    """Return product ids that belong to one of four partitions."""
    every = (f"product-{n}" for n in range(10_000))
    return [key for _, key in zip(range(count * 8), every, strict=False) if partition_of(key.encode(), 4) == partition][
        :count
    ]


class Desk:
    """Makes the decisions of the inventory worker."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(partitions=4, **settings)
        self.table = stock_table(create_app("inventory", self.settings))
        self.entries: Entries[Any] = Entries(self.table.codec)
        self.table.data.replace(dict.fromkeys(range(4), self.entries))
        self.restart()
        self.offset = 0
        self.written: list[Any] = []

    def restart(self) -> None:
        """Continue as a new process would, with entries decoded from their committed bytes."""
        self.entries = Entries(self.table.codec, MemoryRows(dict(self.entries.rows.items())))
        self.table.data.replace(dict.fromkeys(range(4), self.entries))
        self.deciding = Deciding(self.settings, PRODUCT, self.table, {TOPIC: "an id"})
        self.deciding.parking.now = lambda: 1_763_000_000.0  # the time of the records

    def tell(self, *commands: tuple[str, str, dict[str, Any]], merge: bool = True, **more: Any) -> Decided:
        """Decide (type, product, data) commands in one fetch; `more`: further fields of every envelope."""
        return self.decide(
            [self.record(key, {"type": name, "data": data, **more}) for name, key, data in commands], merge
        )

    def record(self, key: str | None, message: Any, partition: int = 1) -> Any:
        self.offset += 1
        value = message if isinstance(message, bytes) else json.dumps(message).encode()
        raw = None if key is None else key.encode()
        headers = (("h", b"\xff"), ("n", None))
        return ConsumerRecord(TOPIC, partition, self.offset, 1_763_000_000_123, 0, raw, value, None, 0, 0, headers)

    def decide(self, records: Sequence[Any], merge: bool = True, refusal: Refusal | None = None) -> Decided:
        """Decide a fetch; `refusal`: how its only record is handled that Kafka refused."""
        self.part = Part(records[0].offset, records)
        fetch = Fetch(1, Member(1, "m"), {TP(TOPIC, records[0].partition): self.part})
        decided = self.deciding.decide(fetch, refusal)
        if merge:
            decided.merge()
            self.written += decided.writes
        return decided

    def messages(self, topic: str, decided: Decided | None = None) -> list[dict[str, Any]]:
        """Return the messages that were written to a topic."""
        writes = self.written if decided is None else decided.writes
        return [json.loads(write.value) for write in writes if write.topic == topic]

    def events(self, key: str) -> list[tuple[int, str]]:
        """Return the sequence and type of an aggregate's events."""
        return [(e["sequence"], e["type"]) for e in self.messages("inventory-events") if e["subject"] == key]

    def letters(self, key: str) -> list[str]:
        """Return the ids of an aggregate's parked commands."""
        return [letter.command_id for letter in Letters(self.table.data.changes(1), key)]

    @property
    def parked(self) -> int:
        return parked(self.entries)


class Broken:
    """A bug in the handling of some commands, for the duration of a context."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __enter__(self) -> None:
        faults.arm(",".join(f"raise:{name}" for name in self.names), "desk-0")

    def __exit__(self, *_: object) -> None:
        for name in self.names:
            del faults.ARMED[name]
