"""A webhook while faults are injected: all events of its types arrive, and the events of each order in sequence."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from system import System, api_at, eventually
from webhook_receiver import receiving

NETWORKS = "127.0.0.0/8"  # where the receiver is
TYPES = ("OrderPlaced", "OrderHeld", "OrderReleased", "OrderCancelled", "ShipmentCreated")  # a part, which costs less
REFUSED = 0.002  # the part of the events that the receiver takes only later


class Deliveries:
    """Takes the events of a receiver, and keeps the sequences of each order in the order in which they first came."""

    def __init__(self, seed: int) -> None:
        self._random, self._refused = random.Random(seed), set[str]()
        self.sequences: defaultdict[str, list[int]] = defaultdict(list)

    def answer(self, event: dict[str, Any]) -> int:
        """Take an event, or refuse it once."""
        if event["id"] not in self._refused and self._random.random() < REFUSED:
            self._refused.add(event["id"])
            return 503
        if event["sequence"] not in (taken := self.sequences[event["subject"]]):
            taken.append(event["sequence"])
        return 200

    async def broken(self, events: Iterable[dict[str, Any]]) -> list[str]:
        """Wait until all of the events that are wanted have arrived; return what is missing or not in sequence."""
        wanted = defaultdict[str, list[int]](list)
        for event in events:
            if event["type"] in TYPES:
                wanted[event["subject"]].append(event["sequence"])

        async def missing() -> list[str]:
            return [
                f"the webhook did not deliver {order}@{each}"
                for order, sequences in wanted.items()
                for each in set(sequences).difference(self.sequences.get(order, ()))
            ]

        try:
            await eventually(missing, lambda found: not found)
        except AssertionError:
            return await missing()
        return [
            f"the webhook delivered {order} in the order {self.sequences[order]}"
            for order, sequences in wanted.items()
            if self.sequences[order] != sorted(sequences)
        ]


@asynccontextmanager
async def delivered(system: System, seed: int) -> AsyncIterator[Deliveries]:
    """Subscribe a receiver to a system that runs."""
    deliveries = Deliveries(seed)
    async with receiving() as receiver, api_at(system.base) as api:
        receiver.answer = deliveries.answer
        wanted = {"url": receiver.url, "types": list(TYPES)}
        await eventually(lambda: api("POST", "/webhooks", wanted), lambda answer: answer[0] == 201)
        yield deliveries
