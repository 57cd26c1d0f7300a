"""Seals the personal fields of commands after they were decoded: nothing that follows sees them in the clear."""

import os
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import uuid_utils

from domain.orders import Order
from domain.orders.commands import ChangeShippingAddress
from privacy.keys import CustomerKey, KeyRecord, entry_key
from privacy.masters import KeyEncryption
from privacy.repeats import FIELDS, has_sealed, with_addresses, with_those_of
from privacy.sealing import Cipher, key_id_of
from streams.kafka.transactions import ANY_PARTITION, Write
from streams.messages.envelope import CommandMessage
from streams.runtime.settings import Settings
from streams.topics import CUSTOMER_KEYS

KEY_BYTES = 32
CACHED = 10_000  # ciphers of recently used keys
_encode = msgspec.json.Encoder().encode


class NewKey(NamedTuple):
    """A key to create with the order that is sealed with it, if that is placed."""

    entry: bytes  # the key of the table's entry
    key: CustomerKey
    write: Write


class Sealing:
    """Seals the commands of one worker."""

    def __init__(self, settings: Settings, masters: KeyEncryption) -> None:
        self._topic, self._masters = settings.named(CUSTOMER_KEYS.name), masters
        self._cipher = lru_cache(CACHED)(self._unwrapped)

    def seal(
        self, command: CommandMessage, order: Order | None, partition: int, changes: Any
    ) -> tuple[CommandMessage, NewKey | None]:
        """Return a command with sealed addresses, and the key to create with it if its customer has none yet."""
        if type(command.command) is ChangeShippingAddress:
            return (command, None) if order is None else self._with_key(command, order.customer_id, partition, changes)
        if order is not None:
            return self._comparable(command, order, changes), None
        place: Any = command.command
        return self._with_key(command, place.customer_id, partition, changes)

    def _with_key(
        self, command: CommandMessage, customer_id: str, partition: int, changes: Any
    ) -> tuple[CommandMessage, NewKey | None]:
        entry = entry_key(customer_id)
        known: CustomerKey | None = changes.get(entry)
        if known is not None:
            return self._sealed(command, self._cipher(known)), None
        raw, key_id = os.urandom(KEY_BYTES), str(uuid_utils.uuid4())
        new = CustomerKey.of(key_id, self._masters.wrap(raw))
        record = KeyRecord(customer_id, partition, new)
        write = Write(self._topic, ANY_PARTITION, record.name, record.value())
        return self._sealed(command, Cipher(key_id, raw)), NewKey(entry, new, write)

    def _comparable(self, command: CommandMessage, order: Order, changes: Any) -> CommandMessage:
        """Return a command for an order that exists in the form of the order: it is only compared with it.

        The order may be older than encryption, or its key may be erased. Then its addresses cannot be compared, and
        those of the command count as the same.
        """
        if not has_sealed(order):
            return command
        key: CustomerKey | None = changes.get(entry_key(order.customer_id))
        sealed = [name for name in FIELDS if isinstance(getattr(order, name), str)]
        if key is None or any(key.id != key_id_of(getattr(order, name)) for name in sealed):
            return with_those_of(order, command)
        return self._sealed(command, self._cipher(key), sealed)

    def _sealed(self, command: CommandMessage, cipher: Cipher, names: Iterable[str] = FIELDS) -> CommandMessage:
        """Return a command with those of its personal fields sealed that `names` has."""
        personal = [name for name in names if name in command.command.__struct_fields__]
        addresses = {
            name: cipher.seal(command.key, FIELDS[name], _encode(getattr(command.command, name))) for name in personal
        }
        return with_addresses(command, addresses)

    def _unwrapped(self, key: CustomerKey) -> Cipher:
        return Cipher(key.id, self._masters.unwrap(key.raw))
