"""Kafka's requests for version 2 of transactions (KIP-890), which aiokafka lacks: schemas and error codes.

Produce and TxnOffsetCommit add their partitions to the transaction by themselves, and every EndTxn hands out the next
producer epoch: what was sent for an earlier transaction and comes late is refused.
"""

from collections.abc import Sized
from enum import IntEnum
from io import BytesIO
from struct import Struct
from typing import Any, cast

from aiokafka.protocol.api import RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
    UnsignedVarInt32,
)  # fmt: skip

NO_TAGS: dict[int, bytes] = {}  # ends every structure of a flexible version

_TEXT, _TAGS = CompactString("utf-8"), ("tags", TaggedFields)
_ACKS_AND_TIMEOUT, _PARTITION = Struct(">hi"), Struct(">i")
_NO_TAGS = b"\0"


def _length(sized: Sized) -> bytes:
    """Return the first bytes of a compact type: its length plus one, or 0 for null."""
    return cast(bytes, UnsignedVarInt32.encode(len(sized) + 1))


_PRODUCER = ("producer_id", Int64), ("producer_epoch", Int16)
_ERROR = ("throttle_time_ms", Int32), ("error_code", Int16)


class Code(IntEnum):
    """The error codes of a transaction; any other code becomes a member when it occurs."""

    UNKNOWN_SERVER_ERROR = -1
    NONE = 0
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    MESSAGE_TOO_LARGE = 10
    NETWORK_EXCEPTION = 13
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    RECORD_LIST_TOO_LARGE = 18
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    ILLEGAL_GENERATION = 22
    UNKNOWN_MEMBER_ID = 25
    REBALANCE_IN_PROGRESS = 27
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_PRODUCER_ID_MAPPING = 49
    CONCURRENT_TRANSACTIONS = 51
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    KAFKA_STORAGE_ERROR = 56
    UNKNOWN_PRODUCER_ID = 59
    FENCED_INSTANCE_ID = 82
    INVALID_RECORD = 87
    PRODUCER_FENCED = 90
    STALE_MEMBER_EPOCH = 113
    TRANSACTION_ABORTABLE = 120

    @classmethod
    def _missing_(cls, value: object) -> "Code":
        assert isinstance(value, int)
        unknown = int.__new__(cls, value)
        unknown._name_, unknown._value_ = f"Kafka's error {value}", value
        return unknown


class WireRequest(RequestStruct):
    """A request in the one version we use; aiokafka's connection asks it which version to send."""

    API_KEY, API_VERSION, RESPONSE_TYPE, SCHEMA = -1, -1, Response, Schema()
    FLEXIBLE_VERSION = True

    def prepare(self, versions: dict[int, tuple[int, int]]) -> "WireRequest":
        """Return itself: the cluster's `transaction.version` implies this version."""
        return self


class InitProducerIdResponse(Response):
    """The producer's id and epoch; an open transaction of an earlier owner was aborted."""

    API_KEY, API_VERSION = 22, 5
    SCHEMA = Schema(*_ERROR, *_PRODUCER, _TAGS)


class InitProducerId(WireRequest):
    """Claims a transactional id."""

    API_KEY, API_VERSION, RESPONSE_TYPE = 22, 5, InitProducerIdResponse
    SCHEMA = Schema(("transactional_id", _TEXT), ("transaction_timeout_ms", Int32), *_PRODUCER, _TAGS)


class ProduceResponse(Response):
    """(topic, [(partition, error code, base offset, …)]) of every written partition."""

    API_KEY, API_VERSION = 0, 12
    _RECORD_ERRORS = CompactArray(("index", Int32), ("message", _TEXT), _TAGS)
    _PARTITIONS = CompactArray(
        ("partition", Int32), ("error_code", Int16), ("base_offset", Int64), ("log_append_time_ms", Int64),
        ("log_start_offset", Int64), ("record_errors", _RECORD_ERRORS), ("error_message", _TEXT), _TAGS,
    )  # fmt: skip
    SCHEMA = Schema(
        ("topics", CompactArray(("topic", _TEXT), ("partitions", _PARTITIONS), _TAGS)),
        ("throttle_time_ms", Int32),
        _TAGS,
    )


class Produce(WireRequest):
    """Appends one record batch to each partition."""

    API_KEY, API_VERSION, RESPONSE_TYPE = 0, 12, ProduceResponse
    _PARTITIONS = CompactArray(("partition", Int32), ("records", CompactBytes), _TAGS)
    SCHEMA = Schema(
        ("transactional_id", _TEXT),
        ("acks", Int16),
        ("timeout_ms", Int32),
        ("topics", CompactArray(("topic", _TEXT), ("partitions", _PARTITIONS), _TAGS)),
        _TAGS,
    )

    def encode(self) -> bytes:
        """Return the request as bytes; unlike the schema, this copies each batch once instead of five times."""
        topics = self.get_item("topics")
        parts = [
            _TEXT.encode(self.get_item("transactional_id")),
            _ACKS_AND_TIMEOUT.pack(self.get_item("acks"), self.get_item("timeout_ms")),
            _length(topics),
        ]
        for topic, partitions, _ in topics:
            parts += (_TEXT.encode(topic), _length(partitions))
            for partition, records, _ in partitions:
                parts += (_PARTITION.pack(partition), _length(records), records, _NO_TAGS)
            parts.append(_NO_TAGS)
        parts.append(_NO_TAGS)
        return b"".join(parts)


class TxnOffsetCommitResponse(Response):
    """(topic, [(partition, error code, tags)]) of every partition whose offset was sent."""

    API_KEY, API_VERSION = 28, 5
    _PARTITIONS = CompactArray(("partition", Int32), ("error_code", Int16), _TAGS)
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("topics", CompactArray(("topic", _TEXT), ("partitions", _PARTITIONS), _TAGS)),
        _TAGS,
    )


class TxnOffsetCommit(WireRequest):
    """Commits offsets with the transaction, if the member is still in the group (KIP-447)."""

    API_KEY, API_VERSION, RESPONSE_TYPE = 28, 5, TxnOffsetCommitResponse
    _PARTITIONS = CompactArray(
        ("partition", Int32), ("offset", Int64), ("leader_epoch", Int32), ("metadata", _TEXT), _TAGS
    )
    SCHEMA = Schema(
        ("transactional_id", _TEXT),
        ("group", _TEXT),
        *_PRODUCER,
        ("generation", Int32),
        ("member_id", _TEXT),
        ("instance_id", _TEXT),
        ("topics", CompactArray(("topic", _TEXT), ("partitions", _PARTITIONS), _TAGS)),
        _TAGS,
    )


class EndTxnResponse(Response):
    """The producer's id and epoch for the next transaction."""

    API_KEY, API_VERSION = 26, 5
    SCHEMA = Schema(*_ERROR, *_PRODUCER, _TAGS)


class EndTxn(WireRequest):
    """Commits or aborts."""

    API_KEY, API_VERSION, RESPONSE_TYPE = 26, 5, EndTxnResponse
    SCHEMA = Schema(("transactional_id", _TEXT), *_PRODUCER, ("committed", Boolean), _TAGS)


class ApiVersionsResponse(Response):
    """The versions that the cluster supports."""

    API_KEY, API_VERSION = 18, 3
    _VERSIONS = CompactArray(("api_key", Int16), ("min_version", Int16), ("max_version", Int16), _TAGS)
    SCHEMA = Schema(("error_code", Int16), ("api_versions", _VERSIONS), ("throttle_time_ms", Int32), _TAGS)

    _FINALIZED = 2  # a tag
    _FEATURES = CompactArray(("name", _TEXT), ("max_level", Int16), ("min_level", Int16), _TAGS)

    def level(self, feature: str) -> int:
        """Return the finalized level of a feature, 0 if the cluster lacks it."""
        tags: dict[int, bytes] = self.get_item("tags")
        if self._FINALIZED not in tags:
            return 0
        features: Any = self._FEATURES.decode(BytesIO(tags[self._FINALIZED]))
        return next((level for name, level, *_ in features if name == feature), 0)


class ApiVersions(WireRequest):
    """Asks which versions the cluster supports."""

    API_KEY, API_VERSION, RESPONSE_TYPE = 18, 3, ApiVersionsResponse
    SCHEMA = Schema(("software", _TEXT), ("version", _TEXT), _TAGS)

    def parse_response_header(self, read_buffer: BytesIO | bytes) -> ResponseHeader_v0:
        """Read the old header, which this answer has in every version."""
        return ResponseHeader_v0.decode(read_buffer)
