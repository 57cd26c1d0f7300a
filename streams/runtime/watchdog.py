"""Ends a worker that makes no progress: silent consumers are a well-known problem of Faust (fs#175, #523, #532)."""

import asyncio
import time
from typing import Any

from aiokafka.errors import KafkaError

from streams.kafka.transport import FetchConsumer
from streams.runtime.process import end_process
from streams.wording import counted


class Watchdog:
    """Ends a worker that has work but makes no progress, or that is not a member of its group.

    A worker may wait for something unreachable (`waiting_for`), have stopped partitions, or have records that an open
    transaction holds back. These are not the worker's fault, and `/readyz` reports them.
    """

    def __init__(self, app: Any, seconds: float) -> None:
        self.app, self.seconds = app, seconds
        self._seen: Any = None
        self._since = time.monotonic()

    async def watch(self) -> None:
        """Check for ever."""
        while True:
            await asyncio.sleep(self.seconds / 6)
            trouble = await self.trouble()
            if trouble is None:
                self._since = time.monotonic()
            elif (stood := time.monotonic() - self._since) > self.seconds:
                end_process(f"no progress for {stood:.0f} s: {trouble}")

    async def trouble(self) -> str | None:
        """Return why the worker seems to make no progress; None if it does not."""
        consumer: FetchConsumer = self.app.consumer
        if consumer.preparing or self.app.waiting_for:
            return None
        if not consumer.prepared:
            return "it waits for its consumer group to give it partitions"
        moved, self._seen = consumer.progress.handled != self._seen, dict(consumer.progress.handled)
        try:
            lag = await consumer.lag(readable=True)
        except (TimeoutError, KafkaError) as error:
            return f"Kafka does not answer: {error!r}"
        behind = sum(count for tp, count in lag.items() if tp not in consumer.progress.stopped)
        return None if moved or not behind else counted(behind, "message waits", "messages wait")
