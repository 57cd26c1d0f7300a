"""All changes to libraries from within, and all uses of their private attributes, each with its reason.

The versions are aiokafka 0.14.0 and faust-streaming 0.15.3. `VERSIONS` names them and `PRIVATE` every attribute that
this file relies on; tests/streams/test_streams_library_patches.py fails when a version is upgraded or an attribute is
gone. Read the changes of the library then, and run the test of each patch.

Patches:

**aiokafka: one record must not block its partition** (tests/streams/test_streams_unreadable.py). `getmany` raises
whatever the bytes of a batch lead to: `UnicodeDecodeError` for a header name that is not UTF-8, errors of a
decompressor, `CorruptRecordException`. The records fetched from other partitions in the same call are lost, the
position does not move, and the next call raises again. Seeking does not help, because the broker always returns whole
batches. With the patch, `streams/kafka/unreadable.py` reads such a batch a second time, and a batch that cannot be read
at all is returned as an `Unreadable` record. Batches that aiokafka can read stay on its own path.

**aiokafka: decompression without end** (the same test). The parser decompresses whatever it gets. With the patch, a
batch may have at most `decompression.LARGEST` bytes.

**aiokafka: header names as bytes** (tests/streams/test_streams_batches.py). The builder in C encodes header names as
UTF-8, so it cannot forward a name that arrived as other bytes. The builder in Python calls `encode` of the name, and a
`HeaderName` returns the bytes it arrived as.

**aiokafka: fetches take turns** (tests/streams/test_streams_pace.py). The fetcher sends the next request as soon as it
has an answer, on the connection that all other requests wait for. There is no setting for either. `intercept_fetches`
awaits a turn before each request and gives the fetcher our client.

**aiokafka: credentials that change** (tests/streams/test_streams_secured.py). A client keeps the password and the TLS
context it was made with, and uses them for each new connection as long as it lives. With the patch, these may be
functions, which are called for each connection, so that a connection uses the password or certificate of its time.

**aiokafka: a silent broker does not hold up the others** (tests/streams/test_streams_silent.py). All requests of a
client have one time limit, which must be long enough for a rebalance: half a minute. For that long, a client whose
broker is suspended asks neither that broker's successor nor another broker who the successor is; while it connects to a
host that is gone, it connects to no other. With the patch, a client of several brokers gives only requests that belong
to a rebalance that limit. Connecting and all other requests get `SILENT_SECONDS`, and the time that many bytes take.
Requests that get no answer are repeated, here and in aiokafka, and Kafka recognises repeats. On one broker, nothing
else could answer, so the client's limit stays.

**aiokafka: a broker that the cluster has given up** (the same test). Even with that limit, a client waits for requests
that went to a broker that was suspended, and for connections to it, after the other brokers have replaced it.
`hang_up` ends both, so that aiokafka repeats the requests elsewhere.

**aiokafka: TLS connections to a silent broker** (the same test). asyncio ends TLS by exchanging messages, for which it
waits half a minute, and closing a client waits for that. Kafka needs no such messages, so the patch omits them.

**faust-streaming: only committed records** (tests/integration/test_open_transactions.py). Faust reads uncommitted
records unless it runs its own `exactly_once`, which we do not use. `read_committed` changes the consumer Faust made.

Private attributes that are only read:

**aiokafka: taking records and positions in one step** (tests/streams/test_streams_transport.py). `getmany` returns
records but not where they began. `states_of`, `positions_of`, `ready_records` and `records_come` are the parts of
`getmany`, so that positions can be compared before and after records are taken.

**aiokafka: the group membership** (tests/streams/test_streams_rules.py). No public method returns the generation and
the member id that fence a transaction: `membership_of`.

**aiokafka: the client of a consumer** (tests/streams/test_streams_transport.py). Only its client can send the request
for the last stable offset: `client_of`.

**aiokafka: ending a producer whose broker is gone** (tests/outages/test_outages.py). A producer that `stop` has
given up flushing keeps retrying: `abandon` ends its task.

Import `AIOKafkaConsumer` from here, so that the patches are in force.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from aiokafka import AIOKafkaConsumer as AIOKafkaConsumer
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition, conn
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import CloseReason
from aiokafka.consumer import fetcher
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, KafkaConnectionError, KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import JoinGroupRequest, SyncGroupRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record import default_records as default_records_py
from aiokafka.record._crecords import default_records
from aiokafka.record.memory_records import MemoryRecords
from faust.types import TP

from streams.kafka import decompression
from streams.kafka.unreadable import RAW, Batch, Unreadable, batch_at, records_of
from streams.kafka.wire import Produce

VERSIONS = {"aiokafka": "0.14.0", "faust-streaming": "0.15.3"}
SILENT_SECONDS = 3.0  # a broker that does not answer for this long is asked again, or another one is
FETCH_SECONDS = 9.0  # at least, because a message may be larger than what is asked for
BYTES_PER_SECOND = 4 << 20  # how fast a slow line carries large requests and answers
REBALANCING = (JoinGroupRequest, SyncGroupRequest)  # the coordinator answers when all members have joined
PRIVATE = {  # where an object comes from → its private attributes that are used here, at any depth
    "aiokafka.conn:AIOKafkaConnection": ("_request_timeout",),
    "aiokafka.protocol.fetch:FetchRequest": ("_max_bytes", "_max_wait_ms"),
    "aiokafka.protocol.produce:ProduceRequest": ("_topics",),
    "aiokafka.consumer.consumer:AIOKafkaConsumer": (
        "_client", "_coordinator", "_fetcher", "_isolation_level", "_max_poll_records", "_subscription",
    ),
    "aiokafka.consumer.fetcher:Fetcher": (
        "_client", "_closed", "_create_fetch_waiter", "_prefetch_backoff", "_proc_fetch_request", "_subscriptions",
    ),
    "aiokafka.consumer.fetcher:PartitionRecords": (
        "_aborted_producers", "_check_crcs", "_consume_aborted_up_to", "_isolation_level", "_records",
        "_records_iterator", "_tp", "_unpack_records",
    ),
    "aiokafka.producer.producer:AIOKafkaProducer": ("_sender",),
    "aiokafka.record:default_records": ("_DefaultRecordBatchBuilderPy",),
}  # fmt: skip


CHANGING = ("ssl_context", "sasl_plain_username", "sasl_plain_password")  # options of a connection
RawBatchBuilder: Any = default_records_py._DefaultRecordBatchBuilderPy

# --- patches


def intercept_fetches(
    consumer: Any, take_turn: Callable[[], Awaitable[None]], wrap: Callable[[Any], Any], untaken_seconds: float
) -> None:
    """Await `take_turn` before each fetch request of a started consumer, and send it with the client `wrap` returns.

    `untaken_seconds`: after which a partition whose records were not taken is left out of the next request.
    """
    its_fetcher = consumer._fetcher
    send = its_fetcher._proc_fetch_request

    async def send_in_turn(assignment: Any, node_id: int, request: Any) -> Any:
        try:
            await take_turn()
        except asyncio.CancelledError:  # the fetcher awaits those it cancels, and closes no further where one raises
            return False
        return await send(assignment, node_id, request)

    its_fetcher._proc_fetch_request = send_in_turn
    its_fetcher._prefetch_backoff = untaken_seconds
    its_fetcher._client = wrap(its_fetcher._client)


def read_committed(consumer: Any) -> Any:
    """Return a consumer that has not started yet, set to read only committed records."""
    consumer._isolation_level = "read_committed"
    return consumer


_several_servers = ContextVar("_several_servers", default=False)  # whether the client that connects may try others
_connections: WeakKeyDictionary[AIOKafkaClient, WeakSet["Connection"]] = (
    WeakKeyDictionary()
)  # the connections of each client


async def _bootstrap(client: Any) -> None:
    token = _several_servers.set(len(client.hosts) > 1)
    try:
        await _original_bootstrap(client)
    finally:
        _several_servers.reset(token)


class Connection(conn.AIOKafkaConnection):  # type: ignore[misc]  # aiokafka is not typed
    """A connection to a broker, which gives up most requests soon if other brokers could answer.

    Its password and TLS context may be functions, which return the current ones.
    """

    _request_timeout: float

    def __init__(self, *address: Any, **options: Any) -> None:
        now = {name: each() if callable(each := options.get(name)) else each for name in CHANGING}
        super().__init__(*address, **(options | now))
        self.owner = getattr(options.get("on_close"), "__self__", None)  # its client; None while that looks for brokers
        self._several_servers = _several_servers.get()
        self._connecting: asyncio.Future[Any] | None = None
        self._given_up = False
        if self.owner is not None:
            _connections.setdefault(self.owner, WeakSet()).add(self)

    async def connect(self) -> Any:
        """Connect; a host that is gone does not even refuse."""
        longest = self._request_timeout
        self._request_timeout = min(longest, SILENT_SECONDS) if self._may_ask_another else longest
        self._connecting = asyncio.ensure_future(super().connect())
        try:
            return await self._connecting
        except asyncio.CancelledError:
            if self._given_up:
                raise KafkaConnectionError(f"{self.host}:{self.port} was given up") from None
            raise
        finally:
            self._request_timeout, self._connecting = longest, None

    def give_up(self) -> None:
        """Fail the requests that wait for an answer, and connecting."""
        self._given_up = True
        if self._connecting is not None:
            self._connecting.cancel()
        self.close(reason=CloseReason.CONNECTION_BROKEN)

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request, with a time limit that suits it."""
        longest = self._request_timeout
        if self._may_ask_another and not isinstance(request, REBALANCING):
            self._request_timeout = time_limit(request, longest)
        try:
            return super().send(request, expect_response)  # it reads the limit before it returns
        finally:
            self._request_timeout = longest

    def close(self, reason: Any = None, exc: BaseException | None = None) -> Any:
        """Close the connection; return a future that ends when it is closed."""
        writer = self._writer  # asked before: a transport that is closed twice has no more information
        encrypted = writer is not None and writer.get_extra_info("ssl_object") is not None
        closed = super().close(reason, exc)
        if encrypted:
            writer.transport.abort()
        return closed

    @property
    def _may_ask_another(self) -> bool:
        return self._several_servers if self.owner is None else len(self.owner.cluster.brokers()) > 1


def hang_up(client: AIOKafkaClient) -> None:
    """Give up a client's requests and connections to brokers that its metadata lists no more."""
    listed = {(broker.host, broker.port) for broker in client.cluster.brokers()}
    for connection in list(_connections.get(client, ())):
        if (connection.host, connection.port) not in listed:
            connection.give_up()


def time_limit(request: Any, longest: float) -> float:
    """Return after how many seconds another of several brokers is asked; `longest` is the limit of the client."""
    if isinstance(request, FetchRequest):
        partitions = sum(size for _, parts in request.topics for *_, size in parts)
        arrives: float = min(request._max_bytes, partitions) / BYTES_PER_SECOND
        waits: float = request._max_wait_ms / 1000
        return min(longest, max(FETCH_SECONDS, SILENT_SECONDS + arrives) + waits)
    return min(longest, SILENT_SECONDS) + _produced_bytes(request) / BYTES_PER_SECOND


def _produced_bytes(request: Any) -> int:
    if isinstance(request, Produce):
        return sum(len(batch) for _, parts, _ in request.get_item("topics") for _, batch, _ in parts)
    if isinstance(request, ProduceRequest):
        return sum(len(batch) for _, parts in request._topics for _, batch in parts)
    return 0


class HeaderName(str):
    """The name of a header, for a `RawBatchBuilder`."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        """Return the bytes the name arrived as."""
        return str.encode(self, *RAW)


# --- private attributes that are read


def states_of(consumer: AIOKafkaConsumer, partitions: Collection[TP]) -> Mapping[TP, Any] | None:
    """Return a consumer's states of `partitions`; None while it has no assignment."""
    subscription = consumer._subscription.subscription
    if subscription is None or subscription.assignment is None:
        return None
    return {tp: subscription.assignment.state_value(TopicPartition(*tp)) for tp in partitions}


def positions_of(states: Mapping[TP, Any]) -> dict[TP, int]:
    """Return the position of each partition that has one."""
    return {tp: state.position for tp, state in states.items() if state is not None and state.has_valid_position}


def taking(consumer: AIOKafkaConsumer) -> AbstractContextManager[Any]:
    """Return the context in which records are taken; ConsumerStoppedError if the consumer is closed."""
    if consumer._fetcher._closed:
        raise ConsumerStoppedError
    context: AbstractContextManager[Any] = consumer._fetcher._subscriptions.fetch_context()
    return context


async def ready_records(
    consumer: AIOKafkaConsumer, partitions: Collection[TP]
) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
    """Take the records that were fetched already; nothing is awaited, so no other take and no seek comes in between."""
    taken: Mapping[TopicPartition, Sequence[ConsumerRecord]]
    taken = await consumer._fetcher.fetched_records(partitions, 0, consumer._max_poll_records)
    return taken


def records_come(consumer: AIOKafkaConsumer) -> "asyncio.Future[None]":
    """Return a future that is done when records were fetched; it raises an error that the broker reports."""
    waiter: asyncio.Future[None] = consumer._fetcher._create_fetch_waiter()
    return waiter


def membership_of(consumer: AIOKafkaConsumer) -> tuple[int, str]:
    """Return the generation of the consumer's group and its member id."""
    return consumer._coordinator.generation, consumer._coordinator.member_id


def client_of(consumer: AIOKafkaConsumer) -> AIOKafkaClient:
    """Return the client a consumer sends its requests with."""
    return consumer._client


async def abandon(producer: AIOKafkaProducer, seconds: float) -> None:
    """End a producer that did not stop; a request to a broker that is gone may outlast `seconds` and is dropped."""
    with suppress(TimeoutError, KafkaError):
        await asyncio.wait_for(producer._sender.close(), seconds)
    await producer.client.close()


# --- batches that cannot be read


class Fetched:
    """The records fetched from a partition: their bytes, and aiokafka's parser of them."""

    __slots__ = ("memory", "raw")

    def __init__(self, raw: bytes | None) -> None:
        self.raw = raw or b""
        self.memory = MemoryRecords(self.raw)

    def has_next(self) -> bool:
        """Return whether there are any bytes; a first batch that is cut off counts, too."""
        return bool(self.raw)

    def size_in_bytes(self) -> int:
        """Return the number of bytes."""
        return len(self.raw)


class TolerantRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka is not typed
    """The records of a partition, including those of batches that aiokafka cannot read."""

    def __init__(self, tp: Any, records: Fetched, *options: Any) -> None:
        super().__init__(tp, records.memory, *options)
        self._raw = records.raw
        self.next_fetch_offset: int
        self._records_iterator: Iterator[ConsumerRecord[bytes, bytes]] | None
        if not records.memory.has_next():
            self._records_iterator = self._read_again(CorruptRecordException("the batch is cut off"))

    def __next__(self) -> ConsumerRecord[bytes, bytes]:
        try:
            return next(self._records_iterator)  # type: ignore[arg-type]
        except StopIteration:
            self._records_iterator = None
            raise
        except Exception as error:
            self._records_iterator = self._read_again(error)
            return next(self)

    def _read_again(self, error: Exception) -> Iterator[ConsumerRecord[bytes, bytes]]:
        """Yield the records of the batch that raised, then the records of later batches."""
        batch = batch_at(self._raw, self.next_fetch_offset)
        if batch is None:
            raise error
        if not self._was_aborted(batch):
            try:
                batch.check(crc=self._check_crcs)
                for record in records_of(batch, self._tp.topic, self._tp.partition):
                    if record.offset >= self.next_fetch_offset:
                        self.next_fetch_offset = record.offset + 1
                        yield record
            except Exception as unreadable:
                first, self.next_fetch_offset = self.next_fetch_offset, batch.next_offset
                yield self._unreadable(batch, max(first, batch.base_offset), unreadable)
                return  # only the next fetch contains the aborted transactions after it
        self.next_fetch_offset = batch.next_offset
        self._records = MemoryRecords(self._raw[batch.end :])
        yield from self._unpack_records()

    def _was_aborted(self, batch: Batch) -> bool:
        if self._isolation_level != fetcher.READ_COMMITTED:
            return False
        self._consume_aborted_up_to(batch.base_offset)
        return batch.transactional and batch.producer_id in self._aborted_producers

    def _unreadable(self, batch: Batch, first: int, error: Exception) -> Unreadable:
        reason = str(error) if isinstance(error, CorruptRecordException) else f"{type(error).__name__}: {error}"
        reason = reason.removeprefix("[Error 2] CorruptRecordException: ")
        return Unreadable(
            self._tp.topic, self._tp.partition, batch.next_offset - 1, batch.max_timestamp, 0, None, batch.raw,
            None, -1, len(batch.raw), (), first, reason,
        )  # fmt: skip


for _codec in ("gzip_decode", "lz4_decode", "snappy_decode", "zstd_decode"):
    setattr(default_records, _codec, getattr(decompression, _codec))
fetcher.MemoryRecords, fetcher.PartitionRecords = Fetched, TolerantRecords
conn.AIOKafkaConnection = Connection
_original_bootstrap, AIOKafkaClient.bootstrap = AIOKafkaClient.bootstrap, _bootstrap
