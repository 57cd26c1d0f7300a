"""Ends a worker that stands still: silent consumers are Faust's best known complaint (fs#175, #523, #532)."""

import asyncio
import time
from typing import Any

from aiokafka.errors import KafkaError

from streams.kafka.transport import FetchConsumer
from streams.runtime.process import end_process


class Watchdog:
    """Looks at a worker's progress; a worker with work and none, or with no place in its group, is ended.

    Waiting for something that is known to be away (`waiting_for`) is no standing still, nor are partitions that were
    stopped for a reason, nor records that an open transaction holds back: `/readyz` says so.
    """

    def __init__(self, app: Any, seconds: float) -> None:
        self.app, self.seconds = app, seconds
        self._seen: Any = None
        self._since = time.monotonic()

    async def watch(self) -> None:
        """Look again and again, for ever."""
        while True:
            await asyncio.sleep(self.seconds / 6)
            trouble = await self.trouble()
            if trouble is None:
                self._since = time.monotonic()
            elif (stood := time.monotonic() - self._since) > self.seconds:
                end_process(f"no progress for {stood:.0f} s: {trouble}")

    async def trouble(self) -> str | None:
        """Return why the worker may be standing still; None when it is not."""
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
        return None if moved or not behind else f"{behind} messages wait"
