"""The result of seeding, and the contents of the read models afterwards."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ops.seeding.data import Seed


@dataclass
class Seeded:
    """The orders that were placed, and the contents of the read models afterwards."""

    seed: Seed
    placed: int = 0  # orders that did not exist
    seconds: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)  # sentence → number of refusals
    shown: dict[str, str] = field(default_factory=dict)  # order id → its status in the read model
    products: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def expected(self) -> dict[str, str]:
        """Order id → its expected final status."""
        return {self.seed.order_id(number): self.seed.expected(number).value for number in range(self.seed.orders)}

    @property
    def wrong(self) -> list[tuple[str, str, str]]:
        """Orders with another status than expected: their ids, the expected status and the actual one."""
        shown = ((order_id, status, self.shown.get(order_id, "missing")) for order_id, status in self.expected.items())
        return [each for each in shown if each[1] != each[2]]
