"""The dashboard shows a parked command; a retry fails while the bug exists, and succeeds once it is fixed."""

from typing import Any

from browser_page import dashboard, expect, screenshot
from kafka import produce
from letters_desk import ORDER
from system import Api, System
from test_letters_http import parked


async def test_a_parked_command_is_retried_in_the_dashboard(system: System, api: Api, worker: Any) -> None:
    address, key = system.base.removesuffix("api/v1"), "browser-a"
    produce(system.settings, "order-commands", key, {"type": "PlaceOrder", "data": ORDER})
    produce(system.settings, "order-commands", key, {"type": "Hold", "data": {"reason": "fraud check"}})
    with worker("orders", FULFILLMENT_FAULTS="raise:Hold"):
        await parked(api, key, 1)
        async with dashboard(f"{address}#/pipeline") as page:
            card = page.get_by_role("region", name="Parked commands")
            await expect(card).to_contain_text(key)
            await expect(card).to_contain_text("an injected fault: Hold")
            await screenshot(page, "parked")
            await card.get_by_role("button", name="Retry").click()
            await expect(page.get_by_role("status").last).to_contain_text("0 handled, 1 left")
    with worker("orders"):
        async with dashboard(f"{address}#/pipeline") as page:
            card = page.get_by_role("region", name="Parked commands")
            await card.get_by_role("button", name="Retry").click()
            await expect(page.get_by_role("status").last).to_contain_text("1 handled, none left")
            await expect(card).to_contain_text("No command is parked.")
            await screenshot(page, "retried")
    assert (await api("GET", f"/letters/order/{key}"))[0] == 404
