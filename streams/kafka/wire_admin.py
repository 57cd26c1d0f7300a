"""Kafka's requests about open transactions (KIP-664, KIP-994), which neither of our client libraries has."""

from aiokafka.protocol.api import Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)  # fmt: skip

from streams.kafka.wire import WireRequest

_TEXT, _TAGS = CompactString("utf-8"), ("tags", TaggedFields)
_TOPICS = ("topics", CompactArray(("topic", _TEXT), ("partitions", CompactArray(Int32)), _TAGS))
_THROTTLE = ("throttle_time_ms", Int32)


class DescribeProducersResponse(Response):
    """(topic, [(partition, error code, error message, producers, tags)], tags) of every requested partition."""

    API_KEY, API_VERSION = 61, 0
    _PRODUCERS = CompactArray(
        ("producer_id", Int64), ("producer_epoch", Int32), ("last_sequence", Int32), ("last_timestamp", Int64),
        ("coordinator_epoch", Int32), ("transaction_start_offset", Int64), _TAGS,
    )  # fmt: skip
    _PARTITIONS = CompactArray(
        ("partition", Int32), ("error_code", Int16), ("error_message", _TEXT), ("producers", _PRODUCERS), _TAGS
    )
    SCHEMA = Schema(
        _THROTTLE, ("topics", CompactArray(("topic", _TEXT), ("partitions", _PARTITIONS), _TAGS)), _TAGS
    )  # fmt: skip


class DescribeProducers(WireRequest):
    """Asks the leader of partitions which producers wrote to them, and which of those have an open transaction."""

    API_KEY, API_VERSION, RESPONSE_TYPE = 61, 0, DescribeProducersResponse
    SCHEMA = Schema(_TOPICS, _TAGS)


class ListTransactionsResponse(Response):
    """(transactional id, producer id, state, tags) of the transactions one broker coordinates."""

    API_KEY, API_VERSION = 66, 1
    _TRANSACTIONS = CompactArray(("transactional_id", _TEXT), ("producer_id", Int64), ("state", _TEXT), _TAGS)
    SCHEMA = Schema(
        _THROTTLE,
        ("error_code", Int16),
        ("unknown_states", CompactArray(_TEXT)),
        ("transactions", _TRANSACTIONS),
        _TAGS,
    )


class ListTransactions(WireRequest):
    """Asks a broker for the transactions of some producers that have been open for longer than `duration_ms`."""

    API_KEY, API_VERSION, RESPONSE_TYPE = 66, 1, ListTransactionsResponse
    SCHEMA = Schema(
        ("states", CompactArray(_TEXT)), ("producer_ids", CompactArray(Int64)), ("duration_ms", Int64), _TAGS
    )


class DescribeTransactionsResponse(Response):
    """The transaction of each requested transactional id."""

    API_KEY, API_VERSION = 65, 0
    _TRANSACTIONS = CompactArray(
        ("error_code", Int16), ("transactional_id", _TEXT), ("state", _TEXT), ("timeout_ms", Int32),
        ("start_time_ms", Int64), ("producer_id", Int64), ("producer_epoch", Int16), _TOPICS, _TAGS,
    )  # fmt: skip
    SCHEMA = Schema(_THROTTLE, ("transactions", _TRANSACTIONS), _TAGS)


class DescribeTransactions(WireRequest):
    """Asks the coordinator of transactional ids for their transactions."""

    API_KEY, API_VERSION, RESPONSE_TYPE = 65, 0, DescribeTransactionsResponse
    SCHEMA = Schema(("transactional_ids", CompactArray(_TEXT)), _TAGS)


class WriteTxnMarkersResponse(Response):
    """(producer id, [(topic, [(partition, error code, tags)], tags)], tags) of every marker."""

    API_KEY, API_VERSION = 27, 1
    _PARTITIONS = CompactArray(("partition", Int32), ("error_code", Int16), _TAGS)
    _WRITTEN = CompactArray(("topic", _TEXT), ("partitions", _PARTITIONS), _TAGS)
    SCHEMA = Schema(("markers", CompactArray(("producer_id", Int64), ("topics", _WRITTEN), _TAGS)), _TAGS)


class WriteTxnMarkers(WireRequest):
    """Ends a producer's transaction on partitions, without its coordinator."""

    API_KEY, API_VERSION, RESPONSE_TYPE = 27, 1, WriteTxnMarkersResponse
    _MARKERS = CompactArray(
        ("producer_id", Int64), ("producer_epoch", Int16), ("committed", Boolean), _TOPICS,
        ("coordinator_epoch", Int32), _TAGS,
    )  # fmt: skip
    SCHEMA = Schema(("markers", _MARKERS), _TAGS)
