"""Checks regularly whether an open transaction holds back the topics that a process reads."""

import asyncio
import logging
from collections.abc import Callable, Collection

from aiokafka.errors import KafkaError

from streams.kafka.open_transactions import At, OpenTransaction, connected, open_transactions
from streams.runtime.settings import Settings
from streams.topics import topics_of

log = logging.getLogger(__name__)
LOOK_SECONDS = 2.0


class TransactionWatch:
    """Keeps in `open` which transactions hold back partitions; `suspects` says which are worth asking about.

    Only transactions older than `settings.open_transaction` count: one of our own takes milliseconds, and the broker
    aborts what a killed worker left open.
    """

    def __init__(self, settings: Settings, suspects: Callable[[], Collection[At]]) -> None:
        self._settings, self._suspects = settings, suspects
        self.open: list[OpenTransaction] = []

    @property
    def sentences(self) -> list[str]:
        """Return one sentence for each transaction."""
        return [one.sentence for one in self.open]

    async def watch(self) -> None:
        """Check for ever; a connection is kept while there are suspects."""
        while True:
            try:
                if self._suspects():
                    async with connected(self._settings) as client:
                        while suspects := self._suspects():
                            self._note(await open_transactions(client, suspects, self._settings.open_transaction))
                            await asyncio.sleep(LOOK_SECONDS)
            except (KafkaError, OSError, TimeoutError) as error:  # readiness says that Kafka does not answer
                log.debug("cannot check for open transactions: %r", error)
            self.open = []
            await asyncio.sleep(LOOK_SECONDS)

    def _note(self, found: list[OpenTransaction]) -> None:
        known = {one.identity for one in self.open}
        for one in found:
            if one.identity not in known:
                log.warning("%s", one.sentence)
        self.open = found


async def find_open_transactions(settings: Settings, partitions: Collection[At]) -> list[OpenTransaction]:
    """Return the transactions that hold back partitions for too long; raise `KafkaError` or `OSError`."""
    async with connected(settings) as client:
        return await open_transactions(client, partitions, settings.open_transaction)


def all_partitions(settings: Settings) -> list[At]:
    """Return every partition of each of our topics."""
    return [
        (settings.named(topic.name), number) for topic in topics_of(settings) for number in range(settings.partitions)
    ]
