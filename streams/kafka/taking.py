"""Faust's consumer in its thread: what is taken of it says where that began and where it ended, markers included.

A record's offset does not tell whether another was skipped before it, because transactions leave markers between them.
The consumer's own position does: it is looked at in the same step as records are taken.
"""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.kafka import library_patches as library_patches  # in force before Faust makes a consumer
from streams.kafka.library_patches import read_committed
from streams.kafka.pace import pace_fetches


class Taken(NamedTuple):
    """What a take brought, where the consumer reads on, and where it was instead of where it should have been."""

    records: Mapping[Any, Sequence[ConsumerRecord]] = MappingProxyType({})
    positions: Mapping[TP, int] = MappingProxyType({})
    astray: Mapping[TP, int] = MappingProxyType({})


def _positions(states: Mapping[TP, Any]) -> dict[TP, int]:
    return {tp: state.position for tp, state in states.items() if state is not None and state.has_valid_position}


async def _wait_for(waiter: asyncio.Future[None], seconds: float) -> None:
    done, _ = await asyncio.wait([waiter], timeout=seconds)
    if done:
        waiter.result()  # it tells of what the broker refuses
    else:
        waiter.cancel()


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer, reading only what was committed."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        return read_committed(super()._create_worker_consumer(transport))

    async def on_start(self) -> None:
        """Start the consumer, its fetches taking turns."""
        await super().on_start()
        pace_fetches(self._consumer, self.app.turns, self.consumer.refused)

    async def take(self, expected: Mapping[TP, int], seconds: float) -> Taken:
        """Return what was fetched of partitions, once there is something; nothing if one is astray."""
        return cast(Taken, await self.call_thread(self._take, self._ensure_consumer(), expected, seconds))

    async def _take(self, consumer: Any, expected: Mapping[TP, int], seconds: float) -> Taken:
        fetcher, subscription = consumer._fetcher, consumer._subscription.subscription
        if not self.consumer.flow_active or subscription is None or subscription.assignment is None:
            return Taken()
        if fetcher._closed:
            raise ConsumerStoppedError
        states = {tp: subscription.assignment.state_value(TopicPartition(*tp)) for tp in expected}
        until = self.thread_loop.time() + seconds
        with fetcher._subscriptions.fetch_context():
            while True:
                astray = {tp: at for tp, at in _positions(states).items() if at != expected[tp]}
                # without a time-out it takes what is there and awaits nothing: no other take or seek comes in between
                records = {} if astray else await fetcher.fetched_records(states, 0, consumer._max_poll_records)
                expected = {**expected, **_positions(states)}  # behind transactions' markers, too
                if records:
                    self.app.turns.hold()  # in this step: the next fetch is sent in another one
                left = until - self.thread_loop.time()
                if records or astray or left <= 0:
                    return Taken(records, expected, astray)
                await _wait_for(fetcher._create_fetch_waiter(), left)

    def handled(self) -> None:
        """Let the next fetch be sent: the records that were taken have been handled, or dropped."""
        if not self.thread_loop.is_closed():  # a fetch may be finished after the consumer has stopped
            self.thread_loop.call_soon_threadsafe(self.app.turns.release)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Leave liveness to our watchdog: Faust's looks at commits that are not its own here."""
