"""Names the commands with personal data, and compares repeated ones with their orders; loads no ciphers."""

from collections.abc import Mapping
from copy import copy
from typing import Any

from msgspec.structs import force_setattr, replace

from domain.address import KeptAddress
from domain.orders import Order
from domain.orders.commands import ChangeShippingAddress, PlaceOrder
from streams.messages.envelope import CommandMessage

# personal fields of an order by their names in the domain and on the wire
FIELDS = {"shipping_address": "shippingAddress", "billing_address": "billingAddress"}


PERSONAL = frozenset({PlaceOrder, ChangeShippingAddress})


def has_sealed(order: Order) -> bool:
    """Return whether addresses of an order are sealed; a text is, and an object is not."""
    return isinstance(order.shipping_address, str) or isinstance(order.billing_address, str)


def is_comparable(command: Any, order: Order) -> bool:
    """Return whether the addresses of a command are kept like all those of its order: in the clear, or with one key.

    The order may be older than encryption or than the customer's key, or this worker does not encrypt.
    """
    addresses = [getattr(of, name) for of in (command, order) for name in FIELDS if hasattr(of, name)]
    return len({address.split(":", 2)[1] if isinstance(address, str) else None for address in addresses}) == 1


def with_those_of(order: Order, command: CommandMessage) -> CommandMessage:
    """Return a command with the addresses of its order, because they cannot be compared: they count as the same."""
    return with_addresses(command, {name: getattr(order, name) for name in FIELDS})


def with_addresses(command: CommandMessage, addresses: Mapping[str, KeptAddress]) -> CommandMessage:
    """Return a command with other addresses, which are not checked: the ones that they stand for were."""
    place: Any = copy(command.command)
    for name, value in addresses.items():
        force_setattr(place, name, value)
    return replace(command, command=place)
