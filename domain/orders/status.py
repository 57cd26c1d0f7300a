"""The words an order's quantities are summed up in; in each function the first rule that holds decides."""

from enum import StrEnum


class OrderStatus(StrEnum):
    """The seed system's words, derived from the quantities."""

    REGISTERED = "REGISTERED"
    PARTIALLY_SHIPPED = "PARTIALLY_SHIPPED"
    SHIPPED = "SHIPPED"
    PARTIALLY_DELIVERED = "PARTIALLY_DELIVERED"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"


class AllocationStatus(StrEnum):
    """How far stock has answered for what is still ordered."""

    PENDING = "PENDING"
    ALLOCATED = "ALLOCATED"
    PARTIALLY_ALLOCATED = "PARTIALLY_ALLOCATED"
    BACKORDERED = "BACKORDERED"


class ReturnStatus(StrEnum):
    """How far the order has come back."""

    NONE = "NONE"
    REQUESTED = "REQUESTED"
    PARTIALLY_RETURNED = "PARTIALLY_RETURNED"
    RETURNED = "RETURNED"


class ShipmentStatus(StrEnum):
    """Where a shipment is."""

    SHIPPED = "SHIPPED"
    PARTIALLY_DELIVERED = "PARTIALLY_DELIVERED"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"


def order_status(active: int, shipped: int, delivered: int) -> OrderStatus:
    """Return how far an order has come, of whose units `active` are not cancelled."""
    if active == 0:
        return OrderStatus.CANCELLED
    if delivered:
        return OrderStatus.DELIVERED if delivered == active else OrderStatus.PARTIALLY_DELIVERED
    if shipped:
        return OrderStatus.SHIPPED if shipped == active else OrderStatus.PARTIALLY_SHIPPED
    return OrderStatus.REGISTERED


def allocation_status(pending: int, backordered: int, won: int) -> AllocationStatus | None:
    """Return how far stock has answered, `won` units being allocated or shipped; None when none are active."""
    if not (pending or backordered or won):
        return None
    if pending:
        return AllocationStatus.PARTIALLY_ALLOCATED if won or backordered else AllocationStatus.PENDING
    if backordered:
        return AllocationStatus.PARTIALLY_ALLOCATED if won else AllocationStatus.BACKORDERED
    return AllocationStatus.ALLOCATED


def return_status(delivered: int, returned: int, any_open: bool) -> ReturnStatus:
    """Return how far the order has come back; `any_open`: a return is announced and not counted in."""
    if any_open:
        return ReturnStatus.REQUESTED
    if returned == 0:
        return ReturnStatus.NONE
    return ReturnStatus.RETURNED if returned == delivered else ReturnStatus.PARTIALLY_RETURNED
