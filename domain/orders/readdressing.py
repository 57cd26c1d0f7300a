"""Changing where an order goes, and what happens when stock is short."""

from collections.abc import Sequence

from msgspec.structs import replace

from domain.policy import AllocationPolicy

from .allocating import OUT_OF_STOCK
from .cancelling import cancelled_by_stock, cancelled_line
from .changing import refuse_shipped
from .commands import ChangePolicy, ChangeShippingAddress
from .events import LinesCancelled, OrderCancelled, PolicyChanged, ShippingAddressChanged
from .shipping import refuse_pending
from .state import Order


def change_shipping_address(command: ChangeShippingAddress, order: Order) -> list[ShippingAddressChanged]:
    """Change the address of what has not shipped, unless it is the same already."""
    if command.shipping_address == order.shipping_address:
        return []
    refuse_shipped(order)
    return [ShippingAddressChanged(shipping_address=command.shipping_address)]


def shipping_address_changed(order: Order, event: ShippingAddressChanged) -> Order:
    """Return `order` with another shipping address."""
    return replace(order, shipping_address=event.shipping_address, changed=changed_fields(order, "shipping_address"))


def change_policy(command: ChangePolicy, order: Order) -> Sequence[PolicyChanged | LinesCancelled | OrderCancelled]:
    """Change the policy, and cancel units that wait for stock if the new one does not allow waiting.

    While a line is pending, stock decides it by the former policy.
    """
    if command.policy is order.policy:
        return []
    refuse_shipped(order)
    refuse_pending(order)
    changed = PolicyChanged(policy=command.policy)
    waiting = tuple(cancelled_line(line, line.backordered) for line in order.lines if line.backordered)
    if not waiting or command.policy is AllocationPolicy.BACKORDER:
        return [changed]
    all_waits = order.total("active") == order.total("backordered")
    is_over = command.policy is AllocationPolicy.ALL_OR_NOTHING or all_waits
    if is_over and (ended := cancelled_by_stock(order, OUT_OF_STOCK)):
        return [changed, *ended]
    return [changed, LinesCancelled(lines=waiting, reason=OUT_OF_STOCK)]


def policy_changed(order: Order, event: PolicyChanged) -> Order:
    """Return `order` with another policy."""
    return replace(order, policy=event.policy, changed=changed_fields(order, "policy"))


def changed_fields(order: Order, field: str) -> tuple[str, ...]:
    """Return the fields of `order` that were changed, with `field`: a repeated `PlaceOrder` has their former values."""
    return order.changed if field in order.changed else (*order.changed, field)
