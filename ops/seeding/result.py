"""What seeding did, and what the read models show afterwards."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ops.seeding.data import Seed


@dataclass
class Seeded:
    """What was done, and what the read models show afterwards."""

    seed: Seed
    placed: int = 0  # orders that were not there
    seconds: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)  # sentence → how often
    shown: dict[str, str] = field(default_factory=dict)  # order id → its status in the read model
    products: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def promised(self) -> dict[str, str]:
        """Order id → the status it is to end in."""
        return {self.seed.order_id(number): self.seed.promised(number).value for number in range(self.seed.orders)}

    @property
    def wrong(self) -> list[tuple[str, str, str]]:
        """Orders that are not as promised: their ids, what was promised, what is shown."""
        shown = (
            (order_id, status, self.shown.get(order_id, "not there")) for order_id, status in self.promised.items()
        )
        return [each for each in shown if each[1] != each[2]]
