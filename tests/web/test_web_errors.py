"""Which code is which status."""

import pytest
from pymongo.errors import AutoReconnect, ServerSelectionTimeoutError

from domain.errors import Rejection
from streams.kafka.gateway import GatewayUnavailable
from web.errors import problem_of
from web.statuses import status_of

STATUSES = {
    "ORDER_NOT_FOUND": 404, "LINE_NOT_FOUND": 404, "SHIPMENT_NOT_FOUND": 404, "RETURN_NOT_FOUND": 404,
    "LOCATION_NOT_FOUND": 404, "TRANSFER_NOT_FOUND": 404, "TRANSFER_EXISTS": 409, "LOCATION_CLOSED": 422,
    "SEVERAL_LOCATIONS": 422,
    "PRODUCT_NOT_FOUND": 404, "INVALID_ID": 400, "INVALID_ORDER": 400, "INVALID_QUANTITY": 400,
    "INVALID_STATUS_TRANSITION": 422, "COMMAND_ID_REUSED": 422,
    "ORDER_EXISTS": 409, "ALLOCATION_PENDING": 409, "STALE_QUANTITY": 409, "COMMAND_EXPIRED": 422,
    "STALE_VERSION": 412, "TOTAL_MISMATCH": 422,
    "ORDER_CANNOT_BE_CANCELLED": 422, "CANCELLED_ORDER_MODIFICATION": 422, "ORDER_ON_HOLD": 422, "NOT_ALLOCATED": 422,
    "MORE_THAN_UNSHIPPED": 422, "MORE_THAN_SHIPPED": 422, "MORE_THAN_DELIVERED": 422,
    "SHIPMENT_ALREADY_DELIVERED": 422, "SHIPMENT_IS_CANCELLED": 422, "PRODUCT_DISCONTINUED": 422,
    "INSUFFICIENT_STOCK": 422, "ORDER_LINE_BY_HAND": 422, "TOO_MANY_SHIPMENTS": 422, "TOO_MANY_RETURNS": 422,
    "SHIPMENT_EXISTS": 409,
    "RETURN_EXISTS": 409, "RETURN_ALREADY_RECEIVED": 409, "RESERVATION_EXISTS": 409, "SEVERAL_HOLDS": 409,
    "TOO_MANY_HOLDS": 422, "LINE_EXISTS": 409, "SHIPMENT_IS_CLOSED": 422, "CANNOT_CHANGE": 422,
}  # fmt: skip


def codes(kind: type[Rejection]) -> set[str]:
    below = kind.__subclasses__()
    return set().union(*map(codes, below)) if below else {kind.code}


def test_every_rejection_has_its_status() -> None:
    assert {code: status_of(code) for code in codes(Rejection)} == STATUSES


@pytest.mark.parametrize("error", [GatewayUnavailable("x"), AutoReconnect("x"), ServerSelectionTimeoutError("x")])
def test_an_unreachable_server_is_503_with_retry_after(error: Exception) -> None:
    problem = problem_of(error)
    assert problem is not None
    assert (problem.status, "Retry-After" in (problem.headers or {})) == (503, True)


def test_an_unexpected_error_is_not_the_clients() -> None:
    assert problem_of(RuntimeError("x")) is None
