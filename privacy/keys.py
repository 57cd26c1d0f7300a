"""A customer's key in a partition: as an entry of the orders table, and as a record of the topic `customer-keys`.

table              /key/customer → CustomerKey
customer-keys      customer/partition → {"keyId", "customerId", "partition", "wrapped"}; a tombstone erases it
"""

from base64 import b64decode, b64encode
from typing import NamedTuple
from urllib.parse import unquote

import orjson

from domain.message import State
from streams.keys import segment

ENTRIES = b"/key/"  # cannot clash with the positions of topics and with letters, see `parking/queue.py`


class CustomerKey(State):
    """A customer's key, wrapped with a master key."""

    id: str
    wrapped: str  # base64

    @property
    def raw(self) -> bytes:
        """The wrapped key."""
        return b64decode(self.wrapped)

    @classmethod
    def of(cls, key_id: str, wrapped: bytes) -> "CustomerKey":
        """Return the entry of a wrapped key."""
        return cls(key_id, b64encode(wrapped).decode())


class KeyRecord(NamedTuple):
    """A record of `customer-keys`: the key, or None if it was erased."""

    customer_id: str
    partition: int
    key: CustomerKey | None

    @property
    def name(self) -> bytes:
        """The key of the record."""
        return record_key(self.customer_id, self.partition)

    def value(self) -> bytes | None:
        """Return the value of the record."""
        if self.key is None:
            return None
        return orjson.dumps(
            {
                "keyId": self.key.id,
                "customerId": self.customer_id,
                "partition": self.partition,
                "wrapped": self.key.wrapped,
            }
        )


def entry_key(customer_id: str) -> bytes:
    """Return the key of a customer's entry in the orders table."""
    return ENTRIES + segment(customer_id)


def record_key(customer_id: str, partition: int) -> bytes:
    """Return the key of a customer's record."""
    return b"%b/%d" % (segment(customer_id), partition)


def record_of(value: bytes) -> KeyRecord:
    """Return the key in the value of a record; raise `ValueError`, `KeyError` or `TypeError` if it is not ours."""
    found = orjson.loads(value)
    key = CustomerKey(str(found["keyId"]), str(found["wrapped"]))
    return KeyRecord(str(found["customerId"]), int(found["partition"]), key)


def name_of(key: bytes) -> KeyRecord:
    """Return the tombstone that has this key; raise `ValueError` if the key is not ours."""
    customer, _, partition = key.decode().rpartition("/")
    return KeyRecord(unquote(customer), int(partition), None)


def kind(key: bytes) -> type | None:
    """Return the type of the table's value under `key`; None if it is not a customer's key."""
    return CustomerKey if key.startswith(ENTRIES) else None
