"""Faust's consumer in its thread: takes records together with the positions before and after them.

The offset of a record does not show whether another record was skipped before it, because transaction markers have
offsets of their own. The position of the consumer does, so it is read in the same step as records are taken.
"""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from aiokafka import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.kafka.library_patches import (  # in force before Faust makes a consumer
    AIOKafkaConsumer,
    positions_of,
    read_committed,
    ready_records,
    records_come,
    states_of,
    taking,
)
from streams.kafka.pace import pace_fetches


class Taken(NamedTuple):
    """The records taken, the positions behind them, and the positions that were not the expected ones (`astray`)."""

    records: Mapping[Any, Sequence[ConsumerRecord]] = MappingProxyType({})
    positions: Mapping[TP, int] = MappingProxyType({})
    astray: Mapping[TP, int] = MappingProxyType({})


async def _wait_for(waiter: asyncio.Future[None], seconds: float) -> None:
    done, _ = await asyncio.wait([waiter], timeout=seconds)
    if done:
        waiter.result()  # raises an error that the broker reported
    else:
        waiter.cancel()


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer, reading only committed records."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        return read_committed(super()._create_worker_consumer(transport))

    @property
    def kafka(self) -> AIOKafkaConsumer | None:
        """aiokafka's consumer; None until the thread has started."""
        return self._consumer

    async def on_start(self) -> None:
        """Start the consumer and make its fetches take turns."""
        await super().on_start()
        pace_fetches(self._consumer, self.app.turns, self.consumer.refused)

    async def take(self, expected: Mapping[TP, int], seconds: float) -> Taken:
        """Return fetched records as soon as there are any; none if a position is not the `expected` one."""
        return cast(Taken, await self.call_thread(self._take, self._ensure_consumer(), expected, seconds))

    async def _take(self, consumer: Any, expected: Mapping[TP, int], seconds: float) -> Taken:
        states = states_of(consumer, expected)
        if not self.consumer.flow_active or states is None:
            return Taken()
        until = self.thread_loop.time() + seconds
        with taking(consumer):
            while True:
                astray = {tp: at for tp, at in positions_of(states).items() if at != expected[tp]}
                records = {} if astray else await ready_records(consumer, states)
                expected = {**expected, **positions_of(states)}  # behind transaction markers, too
                if records:
                    self.app.turns.hold()  # in this step: the next fetch is sent in another one
                left = until - self.thread_loop.time()
                if records or astray or left <= 0:
                    return Taken(records, expected, astray)
                await _wait_for(records_come(consumer), left)

    def handled(self) -> None:
        """Allow the next fetch: the records taken were handled or dropped."""
        if not self.thread_loop.is_closed():  # a fetch may be finished after the consumer has stopped
            self.thread_loop.call_soon_threadsafe(self.app.turns.release)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: our watchdog checks liveness. Faust's check expects commits that Faust makes itself."""
