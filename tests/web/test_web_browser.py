"""The dashboard in a real browser, as people use it: by what they read, and by the keyboard."""

from collections.abc import Callable
from typing import Any

import pytest
from browser_page import dashboard, expect, screenshot
from playwright.async_api import Page
from system import Api

from web.documents.pages import PAGES


async def place(page: Page, product: str, quantity: int, order: str) -> None:
    """Place an order with the dialog, as it opens."""
    await page.get_by_role("button", name="Place order", exact=True).first.click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Product").fill(product)
    await dialog.get_by_label("Quantity").fill(str(quantity))
    await dialog.get_by_label("Order id").fill(order)
    await dialog.get_by_role("button", name="Place order").click()
    await expect(page.get_by_role("heading", name=order)).to_be_visible()


async def test_an_order_is_placed_allocated_shipped_and_delivered(
    api: Api, address: str, unique: Callable[[str], str]
) -> None:
    product, order = unique("boots"), unique("o")
    await api.stock(product, 5)
    async with dashboard(address) as page:
        await expect(page.get_by_role("heading", name="Happening now")).to_be_visible()
        await place(page, product, 2, order)
        await expect(page.get_by_text("Allocation recorded")).to_be_visible()
        await page.get_by_role("button", name="Ship", exact=True).click()
        await page.get_by_role("dialog").get_by_label("Carrier").fill("DHL")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Deliver", exact=True).click()
        await expect(page.get_by_text("Shipment delivered")).to_be_visible()
        await expect(page.locator(".title")).to_contain_text("delivered")
        await screenshot(page, "delivered")

        await page.get_by_label("as of version").press("Home")  # back in time, by the keyboard
        await expect(page.get_by_text("This is version 1 of 4.")).to_be_visible()
        await expect(page.get_by_text("2 pending")).to_be_visible()
        await page.get_by_role("button", name="Back to the current version").click()
        await page.get_by_role("button", name="Message").last.click()
        await expect(page.get_by_role("dialog")).to_contain_text('"type": "OrderPlaced"')
        await expect(page.get_by_role("dialog")).to_contain_text("order-events")
    found = await api.order(order, lambda each: each["status"] == "DELIVERED")
    assert found["shipments"][0]["carrier"] == "DHL"


async def test_a_shortage_is_shown_until_stock_arrives(api: Api, address: str, unique: Callable[[str], str]) -> None:
    product, order = unique("tent"), unique("o")
    await api.stock(product, 1)
    async with dashboard(address, "dark") as page:
        await place(page, product, 3, order)
        await expect(page.get_by_text("1 allocated · 2 backordered")).to_be_visible()
        await page.get_by_role("link", name=product).first.click()
        await expect(page.get_by_role("region", name="Waiting orders")).to_contain_text(order)
        await screenshot(page, "shortage")
        await page.get_by_role("button", name="Receive", exact=True).click()
        await page.get_by_role("dialog").get_by_role("button", name="Receive").click()
        await expect(page.get_by_text("No order waits for it.")).to_be_visible()
    found = await api.order(order, lambda each: each["allocationStatus"] == "ALLOCATED")
    assert found["items"][0]["allocated"] == 3


async def test_a_refusal_is_shown_in_the_form_that_caused_it(
    api: Api, address: str, unique: Callable[[str], str]
) -> None:
    product, order = unique("boots"), unique("o")
    await api.stock(product, 5)
    await api.place((product, 1), orderId=order)
    await api.order(order, lambda each: each["allocationStatus"] == "ALLOCATED")
    status, _, _ = await api("POST", f"/orders/{order}/shipments", {})
    assert status == 201
    async with refusing(address) as page:
        await page.get_by_role("searchbox").fill(order)
        await page.get_by_role("searchbox").press("Enter")
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await page.get_by_role("dialog").get_by_role("button", name="Cancel order").click()
        await expect(page.get_by_role("alert")).to_contain_text("an order that is SHIPPED cannot be cancelled")
        await screenshot(page, "refused")
        await page.get_by_role("button", name="Back", exact=True).click()
        await page.get_by_role("button", name="Place order", exact=True).click()
        await page.get_by_role("dialog").get_by_label("Quantity").fill("0")
        await page.get_by_role("dialog").get_by_label("Product").fill(product)
        await page.get_by_role("dialog").get_by_role("button", name="Place order").click()
        quantity = page.get_by_role("dialog").get_by_label("Quantity")
        await expect(quantity).to_have_attribute("aria-invalid", "true")
        await expect(quantity).to_be_focused()
        await page.keyboard.press("Escape")
        await page.reload()
        await expect(page.get_by_text("Cancel order was refused")).to_be_visible()


def refusing(address: str) -> Any:
    """Return a dashboard whose console may say that a command was refused: Chromium says so of every such answer."""
    return dashboard(address, refused=True)


@pytest.mark.parametrize("path", [path for path in PAGES if path != "/"])
async def test_the_api_documents_render_in_the_browser(address: str, path: str) -> None:
    async with dashboard(address + path.lstrip("/")) as page:
        shown = "PlaceOrder" if path == "/asyncapi" else "Place an order"
        await expect(page.get_by_text(shown).filter(visible=True).first).to_be_visible()
        await screenshot(page, path.strip("/"))


@pytest.mark.parametrize("section", ["orders", "inventory", "work", "pipeline"])
async def test_every_section_renders_and_is_reachable_by_keyboard(address: str, section: str) -> None:
    async with dashboard(address) as page:
        names = {"orders": "Orders", "inventory": "Inventory", "work": "Work queue", "pipeline": "Pipeline"}
        link = page.get_by_role("navigation", name="Sections").get_by_role("link", name=names[section])
        await link.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1, name=names[section])).to_be_visible()
        await expect(page.get_by_role("main")).to_be_focused()
        await screenshot(page, section)
