"""The statuses that summarize an order's quantities; in each function the first matching rule decides."""

from enum import StrEnum


class OrderStatus(StrEnum):
    """The statuses of the previous system, derived from quantities."""

    REGISTERED = "REGISTERED"
    PARTIALLY_SHIPPED = "PARTIALLY_SHIPPED"
    SHIPPED = "SHIPPED"
    PARTIALLY_DELIVERED = "PARTIALLY_DELIVERED"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"


class AllocationStatus(StrEnum):
    """How much of the active units stock has allocated."""

    PENDING = "PENDING"
    ALLOCATED = "ALLOCATED"
    PARTIALLY_ALLOCATED = "PARTIALLY_ALLOCATED"
    BACKORDERED = "BACKORDERED"


class ReturnStatus(StrEnum):
    """How much of the order has come back."""

    NONE = "NONE"
    REQUESTED = "REQUESTED"
    PARTIALLY_RETURNED = "PARTIALLY_RETURNED"
    RETURNED = "RETURNED"


class ShipmentStatus(StrEnum):
    """How far a shipment has come."""

    SHIPPED = "SHIPPED"
    PARTIALLY_DELIVERED = "PARTIALLY_DELIVERED"
    DELIVERED = "DELIVERED"
    CLOSED = "CLOSED"  # some of its units were lost
    CANCELLED = "CANCELLED"


def order_status(active: int, shipped: int, delivered: int) -> OrderStatus:
    """Return the status of an order with `active` units that are not cancelled."""
    if active == 0:
        return OrderStatus.CANCELLED
    if delivered:
        return OrderStatus.DELIVERED if delivered == active else OrderStatus.PARTIALLY_DELIVERED
    if shipped:
        return OrderStatus.SHIPPED if shipped == active else OrderStatus.PARTIALLY_SHIPPED
    return OrderStatus.REGISTERED


def allocation_status(pending: int, backordered: int, won: int) -> AllocationStatus | None:
    """Return the allocation status; `won` units are allocated or shipped. None when no units are active."""
    if not (pending or backordered or won):
        return None
    if pending:
        return AllocationStatus.PARTIALLY_ALLOCATED if won or backordered else AllocationStatus.PENDING
    if backordered:
        return AllocationStatus.PARTIALLY_ALLOCATED if won else AllocationStatus.BACKORDERED
    return AllocationStatus.ALLOCATED


def return_status(delivered: int, returned: int, any_open: bool) -> ReturnStatus:
    """Return the return status; `any_open`: a return is announced and not counted in yet."""
    if any_open:
        return ReturnStatus.REQUESTED
    if returned == 0:
        return ReturnStatus.NONE
    return ReturnStatus.RETURNED if returned == delivered else ReturnStatus.PARTIALLY_RETURNED
