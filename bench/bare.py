"""The raw limit: our decisions in a bare loop with a transaction every 100 ms.

    python -m bench.bare aiokafka | librdkafka

It keeps its states in a dict, writes the same events, states and outcomes, restores nothing and ignores rebalances.
There is one loop per client library, because either may be faster, and each uses the fastest way its client offers:
whole record batches with aiokafka, librdkafka's own threads.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from faust.types import TP

from agents.deciding import Decided, Deciding
from agents.orders import ORDER
from streams.kafka.transport import Fetch, Member, Part
from streams.runtime import garbage
from streams.runtime.app import create_app
from streams.runtime.settings import Settings
from streams.topics import ORDER_COMMANDS
from tables.orders import CODEC, orders_table
from tables.store import Entries

GROUP = "bare"
TRANSACTION_SECONDS = 0.1
FETCH_BYTES = 1 << 20  # records of one partition


class Loop:
    """The common part of both loops: decisions, and states in memory."""

    def __init__(self, settings: Settings) -> None:
        self.topic, self.group = settings.named(ORDER_COMMANDS.name), settings.named(GROUP)
        table = orders_table(create_app("orders", settings))
        table.data.replace({partition: Entries(CODEC) for partition in range(settings.partitions)})
        self._deciding = Deciding(settings, ORDER, table, {self.topic: GROUP})

    def decide(self, batches: Mapping[int, Sequence[Any]]) -> Decided:
        """Return the decisions on each partition's records, already merged, because this loop never rolls back."""
        parts = {TP(self.topic, partition): Part(records[0].offset, records) for partition, records in batches.items()}
        decided = self._deciding.decide(Fetch(0, Member(0, ""), parts))
        decided.merge()
        garbage.collect()
        return decided


def main(arguments: Iterable[str]) -> None:
    """Decide order commands from the group's offsets until the process is stopped."""
    (client,) = arguments
    garbage.configure()
    settings = Settings()
    if client == "aiokafka":
        import uvloop

        from bench import bare_aiokafka

        uvloop.run(bare_aiokafka.run(Loop(settings), settings))
    else:
        from bench import bare_librdkafka

        bare_librdkafka.run(Loop(settings), settings)


if __name__ == "__main__":
    main(sys.argv[1:])
