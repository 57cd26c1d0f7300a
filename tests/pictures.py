"""Write the pictures of the dashboard that README.md and the tutorial show. `make pictures` runs it."""

import asyncio
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from browser_page import dashboard, expect  # noqa: E402  # found by the line above
from playwright.async_api import ViewportSize  # noqa: E402
from system import PATIENT, Api, System, api_at  # noqa: E402

IMAGES = Path(__file__).parents[1] / "docs" / "images"
ORDERS = "10000"
SHORT = {"rain-cape": 4, "down-jacket": 9, "alpine-tent": 3, "ice-axe": 5, "snow-shoes": 2, "crampons": 1, "rope": 2}
CUSTOMERS = ("grace", "margaret", "ada", "edsger")
MANY = 20  # events that fill the list
HEIGHTS = {"dashboard": 1060, "order": 720}


async def shortages(api: Api) -> None:
    """Place orders for products that are out of stock."""
    for number, (product, orders) in enumerate(SHORT.items(), start=1):
        await api.stock(product, 2)
        for each in range(orders):
            order = f"web-{1000 + 10 * number + each}"
            await api.place((product, each + 3), orderId=order, customerId=CUSTOMERS[each % len(CUSTOMERS)])
            await api.order(order, lambda found: found["allocationStatus"] != "PENDING")


async def told(api: Api, path: str, body: dict[str, str], wanted: int) -> None:
    """Send a command about the order of the second picture."""
    status, answer, _ = await api("POST", f"/orders/web-2001/{path}", body)
    assert status == wanted, answer


async def story(api: Api) -> None:
    """Take an order through a hold, a refusal and a shipment of the lines that are in stock."""
    await api.stock("hiking-boots-42", 20)
    await api.stock("head-torch-42", 20)
    lines = (("hiking-boots-42", 2), ("rain-cape", 3), ("head-torch-42", 1))
    await api.place(*lines, orderId="web-2001", customerId="ada")
    await api.order(
        "web-2001", lambda found: found["allocationStatus"] == "PARTIALLY_ALLOCATED" and found["version"] == 4
    )
    parcel = {"shipmentId": "parcel-2001", "carrier": "DHL", "trackingNumber": "JD0014600"}
    await told(api, "hold", {"reason": "fraud check"}, 200)
    await told(api, "shipments", parcel, 422)
    status, answer, _ = await api("DELETE", "/orders/web-2001/hold")
    assert status == 200, answer
    await told(api, "shipments", parcel, 201)
    await api.order("web-2001", lambda found: found["status"] == "PARTIALLY_SHIPPED")


async def take(address: str, name: str, scheme: str, shown: str, *, is_live: bool = False) -> None:
    """Write a picture of a page once it shows the text `shown`; `is_live`: and the newest events."""
    async with dashboard(address, scheme) as page:
        await page.set_viewport_size(ViewportSize(width=1280, height=HEIGHTS[name]))
        await expect(page.get_by_text(shown).first).to_be_visible()
        if is_live:
            await expect(page.get_by_text("connected", exact=True)).to_be_visible()
            events = page.get_by_role("list", name="Newest events first").get_by_role("listitem")
            await expect(events.nth(MANY)).to_be_attached()
        await page.screenshot(path=IMAGES / f"{name}.png")


async def pictures(system: System) -> None:
    """Fill the system and write the pictures."""
    async with api_at(system.base) as api:
        await shortages(api)
        await story(api)
    address = system.base.removesuffix("api/v1")
    await asyncio.to_thread(system.run, "seed", "--orders", ORDERS)
    await asyncio.to_thread(system.quiet)
    await take(address, "dashboard", "light", "The pipeline has caught up", is_live=True)
    await take(f"{address}#/orders/web-2001", "order", "dark", "Shipment created")


def main() -> None:
    """Run a system for the time it takes."""
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder), **PATIENT)
        system.up()
        try:
            asyncio.run(pictures(system))
        finally:
            system.down()


if __name__ == "__main__":
    main()
