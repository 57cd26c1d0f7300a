"""A backlog of commands, and how fast a consumer group works it off."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from streams.kafka.clients import librdkafka_config
from streams.messages.envelope import CONTENT_TYPE, new_id, now
from streams.runtime.settings import Settings
from tests.system import ADDRESS

PRICE = {"amount": 1999, "currency": "EUR"}
FIRST_SHARE = 0.1  # the share of a backlog that is not timed, because workers have just started
PAUSE_SECONDS = 0.05

Message = tuple[str, bytes]  # key and value


class Rate(NamedTuple):
    """How fast a backlog was worked off."""

    second: float  # commands per second
    cpu_second: float  # commands per second of the workers' CPU time


def command(key: str, kind: str, data: Any) -> Message:
    """Return a command as the API would send it."""
    command_id = new_id()
    envelope = {"specversion": "1.0", "id": command_id, "type": kind, "source": "web", "subject": key}
    return key, orjson.dumps(envelope | {"time": now(), "correlationid": command_id, "data": data})


def place_order(key: str, *products: str, customer: str = "c-1") -> Message:
    """Return a PlaceOrder with one line for each of `products`."""
    lines = [{"productId": product, "quantity": 1, "price": PRICE} for product in products]
    data = {"customerId": customer, "lines": lines, "shippingAddress": ADDRESS, "billingAddress": ADDRESS}
    return command(key, "PlaceOrder", data)


def orders(count: int) -> list[Message]:
    """Return `count` PlaceOrder commands of two lines."""
    return [place_order(str(uuid.uuid4()), "p-1", "p-2") for _ in range(count)]


def reservations(product: str, count: int) -> list[Message]:
    """Return `count` ReserveStock commands for one product, each for a different order."""
    wanted = {"lineId": "1", "quantity": 1, "policy": "BACKORDER", "orderVersion": 1}
    return [command(product, "ReserveStock", wanted | {"orderId": str(uuid.uuid4())}) for _ in range(count)]


class Sender:
    """Return an upstream service's producer; with `transactional_id`, messages are read once all are durable."""

    def __init__(self, settings: Settings, transactional_id: str | None = None) -> None:
        self._settings, self._transactional = settings, transactional_id is not None
        config: dict[str, Any] = {
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 20,
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 2 << 20,
        }
        config |= {"transactional.id": transactional_id} if transactional_id else {}
        self._producer = Producer(librdkafka_config(settings) | config)
        if self._transactional:
            self._producer.init_transactions(60)

    def send(self, topic: str, messages: Iterable[Message]) -> None:
        """Send messages in bulk; return once all are durable. The first call takes up to a second longer.

        librdkafka requests a producer id before it is connected to a broker, and then retries twice a second.
        """
        if self._transactional:
            self._producer.begin_transaction()
        for key, value in messages:
            self._producer.produce(self._settings.named(topic), key=key, value=value, headers=CONTENT_TYPE)
        assert self._producer.flush(300) == 0
        if self._transactional:
            self._producer.commit_transaction(120)


class Handled:
    """Counts the records of a topic that a group has handled, by its committed offsets, which transactions carry."""

    def __init__(self, settings: Settings, group: str, topic: str) -> None:
        self._reader = Consumer(librdkafka_config(settings) | {"group.id": settings.named(group)})
        self._partitions = [TopicPartition(settings.named(topic), number) for number in range(settings.partitions)]

    def __enter__(self) -> "Handled":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    @retry(
        retry=retry_if_exception_type(KafkaException),  # a new broker's group coordinator starts late
        wait=wait_fixed(0.2), stop=stop_after_delay(60), reraise=True,
    )  # fmt: skip
    def __call__(self) -> int:
        """Return the count; exact if the topic has no transaction markers."""
        return sum(max(one.offset, 0) for one in self._reader.committed(self._partitions, 20))


def work_off(
    handled: Callable[[], int], before: int, count: int, used: Callable[[], float], seconds: float = 600
) -> Rate:
    """Return how fast `count` commands after `before` are handled; `used`: the workers' CPU seconds.

    The first tenth is not timed, which excludes process start and group formation.
    """
    samples = [(time.perf_counter(), 0, used())]
    end = time.monotonic() + seconds
    while samples[-1][1] < count:
        if time.monotonic() > end:
            raise AssertionError(f"{samples[-1][1]:,} of {count:,} commands were handled in {seconds:.0f} s")
        time.sleep(PAUSE_SECONDS)
        samples.append((time.perf_counter(), handled() - before, used()))
    return rate_of(samples, count)


def rate_of(samples: Sequence[tuple[float, int, float]], count: int) -> Rate:
    """Return the rate between the first sample with a tenth of `count` and the last; samples: time, handled, CPU."""
    last = samples[-1]
    warm = [sample for sample in samples if FIRST_SHARE * count <= sample[1] < last[1]]
    first = warm[0] if warm else [sample for sample in samples if sample[1] < last[1]][-1]
    done = last[1] - first[1]
    return Rate(done / (last[0] - first[0]), done / max(last[2] - first[2], 0.01))


def stored(settings: Settings, topic: str) -> Iterator[bytes]:
    """Yield the values of all committed records of a topic, by partition in order."""
    reader = Consumer(
        librdkafka_config(settings)
        | {"group.id": "bench", "isolation.level": "read_committed"}
        | {"enable.auto.commit": False, "enable.partition.eof": True}
    )
    reader.assign([TopicPartition(settings.named(topic), number, 0) for number in range(settings.partitions)])
    ended, end = set[int](), time.monotonic() + 120
    try:
        while len(ended) < settings.partitions:
            assert time.monotonic() < end, f"{topic} could not be read to its end within 120 s"
            for message in reader.consume(5_000, 0.2):
                if message.error():
                    ended.add(message.partition())
                else:
                    yield message.value()
    finally:
        reader.close()
