"""`ForgetCustomer`: erases a customer's key in the partition that the command is sent to.

The sender sends one to each partition of `order-commands`. It is handled where it arrives, although its Kafka key, the
customer, belongs on one of them.
"""

from collections.abc import Mapping
from typing import Any, cast

from domain.message import Command, Id
from parking.effects import ACCEPTED, Effects, Replies
from privacy.keys import KeyRecord, entry_key
from streams.kafka.transactions import ANY_PARTITION, Write
from streams.messages.envelope import CommandMessage
from streams.runtime.settings import Settings
from streams.topics import CUSTOMER_KEYS


class ForgetCustomer(Command):
    """Erase the key of a customer in one partition, so that what was sealed with it can never be read again."""

    customer_id: Id


FORGETTING: Mapping[str, type[Command]] = {ForgetCustomer.__name__: ForgetCustomer}


class Forgetting:
    """Handles these commands."""

    def __init__(self, settings: Settings, replies: Replies) -> None:
        self._topic, self._replies = settings.named(CUSTOMER_KEYS.name), replies

    def obey(self, command: CommandMessage, partition: int, changes: Any) -> Effects:
        """Erase the key, if the customer has one here. The tombstone is written in any case: it repeats nothing."""
        customer_id = cast(ForgetCustomer, command.command).customer_id
        entry = entry_key(customer_id)
        erased = entry in changes
        if erased:
            changes.put(entry, None)
        record = KeyRecord(customer_id, partition, None)
        tombstone = Write(self._topic, ANY_PARTITION, record.name, record.value())
        report = self._replies.report(command, {"partition": partition, "erased": erased}, changes)
        return Effects(ACCEPTED, [tombstone, report])
