"""The statements of docs/differences.md for clients of the system this one replaces are true."""

import re
import subprocess
from pathlib import Path

import pytest
from system import ADDRESS, Api

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/differences.md").read_text()
# As that system's clients send it: numbers, both addresses, a time without a zone.
ORDER = {
    "customerId": "cust-001",
    "items": [{"productId": "differs", "quantity": 2, "price": 59.99}],
    "shippingAddress": ADDRESS,
    "billingAddress": ADDRESS,
    "totalCost": 119.98,
    "issuedAt": "2025-04-01T14:30:00",
}


async def test_an_order_is_answered_and_shown_as_the_page_says(api: Api) -> None:
    await api.stock("differs", 10)
    status, answer, headers = await api("POST", "/orders", ORDER)
    order_id = answer["data"]["id"]
    assert (status, headers["Location"]) == (201, f"/api/v1/orders/{order_id}")
    order = await api.order(order_id, lambda order: order["allocationStatus"] == "ALLOCATED")
    assert order["items"][0]["price"] == {"currency": "EUR", "value": "59.99"}
    assert (order["totalCost"]["value"], order["issuedAt"]) == ("119.98", "2025-04-01T14:30:00.000Z")
    status, answer, _ = await api("PUT", f"/orders/{order_id}/status", {"status": "PARTIALLY_SHIPPED"})
    assert (status, answer["data"]["status"]) == (200, "SHIPPED")
    status, answer, _ = await api("PUT", f"/orders/{order_id}/status", {"status": "REGISTERED"})
    assert (status, answer["error"]) == (422, "INVALID_STATUS_TRANSITION")


async def test_the_previous_seeder_works_but_for_its_test_for_200(api: Api) -> None:
    """Go's `big.Float` and `time.Time`, as its `encoding/json` writes them."""
    await api.stock("seeded", 10)
    body = ORDER | {
        "items": [{"productId": "seeded", "quantity": 2, "price": "55.27"}],
        "totalCost": "110.53999999999999",
        "issuedAt": "2025-04-01T16:30:00.123456789+02:00",
    }
    status, answer, _ = await api("POST", "/orders", body)
    assert (status, answer["success"]) == (201, True)
    order = await api.order(answer["data"]["id"], lambda order: order["allocationStatus"] == "ALLOCATED")
    assert (order["totalCost"]["value"], order["issuedAt"]) == ("110.54", "2025-04-01T14:30:00.123Z")
    for wanted in ("SHIPPED", "DELIVERED"):
        status, answer, _ = await api("PUT", f"/orders/{order['id']}/status", {"status": wanted})
        assert (status, answer["data"]["status"]) == (200, wanted)


async def test_errors_have_the_codes_the_page_names(api: Api) -> None:
    await api.stock("differs-little", 1)
    allocate = {"orderId": "by-phone", "quantity": 2}
    unfinished = {name: value for name, value in ORDER.items() if name in ("customerId", "items")}
    for method, path, body, status, code in (
        ("GET", "/orders/no-such-order", None, 404, "ORDER_NOT_FOUND"),
        ("POST", "/orders", ORDER | {"totalCost": 110}, 422, "TOTAL_MISMATCH"),
        ("POST", "/inventory/differs-little/allocate", allocate, 422, "INSUFFICIENT_STOCK"),
        ("POST", "/orders", unfinished, 400, "INVALID_ORDER"),
    ):
        found, answer, _ = await api(method, path, body)
        assert (found, answer["error"]) == (status, code)
        assert code in TEXT or status == 400
    assert "shippingAddress" in answer["errors"]


async def test_a_product_must_exist_before_an_order_can_wait_for_it(api: Api) -> None:
    await api.stock("differs-empty", 0)
    waits = await api.place(("differs-empty", 1))
    unknown = await api.place(("differs-unknown", 1))
    await api.order(waits["id"], lambda order: order["allocationStatus"] == "BACKORDERED")
    order = await api.order(unknown["id"], lambda order: order["status"] == "CANCELLED")
    assert order["items"][0]["cancelled"] == 1


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("target", ["build", "run", "stop", "seed-data"])
def test_the_commands_of_make_exist(target: str) -> None:
    said = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"build": "docker compose build", "seed-data": "fulfillment seed"}.get(target, "fulfillment") in said


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
