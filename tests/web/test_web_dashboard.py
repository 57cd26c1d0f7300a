"""The dashboard with much data: nothing is wider than a phone, and a refresh loses nothing."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from browser_page import dashboard, expect, screenshot
from playwright.async_api import Route, ViewportSize
from system import Api, eventually

PHONE = ViewportSize(width=375, height=812)
LONG = "an-identifier-of-an-external-catalogue-that-is-as-long-as-some-are"
WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


async def test_no_page_is_wider_than_a_phone(api: Api, address: str, unique: Callable[[str], str]) -> None:
    product, order = unique(LONG), unique(LONG)
    await api.stock(product, 1)
    await api.place((product, 3), orderId=order, customerId=f"a-customer@{LONG}.example")
    await api.order(order, lambda each: each["allocationStatus"] == "PARTIALLY_ALLOCATED")
    async with dashboard(address) as page:
        await page.set_viewport_size(PHONE)
        for name in ("Overview", "Orders", "Inventory", "Work queue", "Webhooks", "Pipeline"):
            await page.get_by_role("navigation", name="Sections").get_by_role("link", name=name).click()
            await expect(page.get_by_role("heading", level=1, name=name)).to_be_attached()
            assert not await page.evaluate(WIDER), name
            await screenshot(page, f"phone-{name.lower().replace(' ', '-')}")
        for kind, key in (("inventory", product), ("orders", order)):
            await page.goto(f"{address}#/{kind}/{key}")
            await expect(page.get_by_role("heading", level=1, name=key)).to_be_visible()
            assert not await page.evaluate(WIDER), kind
            await screenshot(page, f"phone-{kind}-one")


async def test_a_refresh_leaves_the_focus_where_it_is(address: str) -> None:
    async with dashboard(address) as page:
        link = page.get_by_role("link", name="Ready to ship")
        await link.focus()
        for _ in range(2):
            async with page.expect_response(lambda each: each.url.endswith("/summary")):
                pass
        await expect(link).to_be_focused()


async def test_a_list_stays_as_long_as_it_was_when_something_happens(
    api: Api, address: str, unique: Callable[[str], str]
) -> None:
    product = unique("boots")
    for quantity in range(1, 61):
        await api.stock(product, quantity)
    async with dashboard(f"{address}#/inventory/{product}") as page:
        rows = page.get_by_role("region", name="Movements").locator("tbody tr")
        await expect(rows).to_have_count(50)
        await page.get_by_role("button", name="Show more").click()
        await expect(rows).to_have_count(60)
        await api.stock(product, 100)
        await expect(rows.first).to_contain_text("100")
        assert await rows.count() in (60, 61)


async def test_waiting_orders_are_listed_page_by_page(api: Api, address: str, unique: Callable[[str], str]) -> None:
    product = unique("tent")
    await api.stock(product, 1)
    placed = [await api.place((product, 2), orderId=unique("o")) for _ in range(25)]
    await asyncio.gather(*(api.order(each["id"], lambda o: o["allocationStatus"] != "PENDING") for each in placed))
    async with dashboard(f"{address}#/inventory/{product}") as page:
        card = page.get_by_role("region", name="Waiting orders")
        await expect(card).to_contain_text("49 units, first come first")
        await expect(card.locator("tbody tr")).to_have_count(20)
        await card.get_by_role("button", name="Show more").click()
        await expect(card.locator("tbody tr")).to_have_count(25)


async def test_a_message_is_shown_from_its_top_and_closes_with_its_page(
    api: Api, address: str, unique: Callable[[str], str]
) -> None:
    order = unique("o")
    await api.place((unique("boots"), 1), orderId=order)
    await api.order(order)
    async with dashboard(f"{address}#/orders") as page:
        await page.goto(f"{address}#/orders/{order}")
        await page.get_by_role("button", name="Message").last.click()
        await expect(page.get_by_role("dialog").get_by_role("heading", name="Message")).to_be_in_viewport()
        await page.go_back()
        await expect(page.get_by_role("heading", level=1, name="Orders")).to_be_visible()
        await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_stock_orders_and_the_work_queue_show_locations(
    api: Api, address: str, unique: Callable[[str], str]
) -> None:
    product, order = unique("boots"), unique("o")
    for path, body in (
        ("receive", {"quantity": 3}),
        ("receive", {"quantity": 5, "location": "berlin"}),
        ("transfers", {"transferId": "van-1", "source": "berlin", "target": "default", "quantity": 2}),
    ):
        assert (await api("POST", f"/inventory/{product}/{path}", body))[0] == 200
    await api.place((product, 5), orderId=order)
    await api.order(order, lambda each: each["allocationStatus"] == "ALLOCATED")
    async with dashboard(f"{address}#/inventory/{product}") as page:
        places, moving = (page.get_by_role("region", name=name, exact=True) for name in ("Locations", "In transit"))
        await expect(places.get_by_role("row", name="berlin")).to_contain_text(
            "berlin123"
        )  # available, allocated, on hand
        await expect(moving.get_by_role("row", name="van-1")).to_contain_text("van-1berlindefault2")
        await screenshot(page, "locations")
        await moving.get_by_role("button", name="Receive").click()
        await page.get_by_role("dialog").get_by_role("button", name="Receive").click()
        await expect(moving).to_be_hidden()
        await places.get_by_role("row", name="berlin").get_by_role("button", name="Close").click()
        await page.get_by_role("dialog").get_by_role("button", name="Close location").click()
        await expect(places.get_by_role("row", name="berlin")).to_contain_text("closed")
        await places.get_by_role("row", name="berlin").get_by_role("button", name="Open").click()
        await expect(places.get_by_role("row", name="berlin")).not_to_contain_text("closed")


async def test_an_order_is_shipped_from_the_location_that_has_its_units(
    api: Api, address: str, unique: Callable[[str], str]
) -> None:
    product, order, place = unique("boots"), unique("o"), unique("berlin")
    for body in ({"quantity": 1}, {"quantity": 5, "location": place}):
        assert (await api("POST", f"/inventory/{product}/receive", body))[0] == 200
    await api.place((product, 6), orderId=order)
    await api.order(order, lambda each: each["allocationStatus"] == "ALLOCATED")
    async with dashboard(f"{address}#/work") as page:
        await page.get_by_role("textbox", name="Location").fill(place)
        await page.get_by_role("textbox", name="Location").press("Enter")
        picks = page.get_by_role("region", name=f"To pick at {place}")
        await expect(picks.locator("tbody tr")).to_have_count(1)
        await expect(picks.get_by_role("row", name=order)).to_contain_text(f"5 × {product}")
        await picks.get_by_role("link", name=order).click()
        await expect(page.get_by_role("region", name="Lines")).to_contain_text(f"5 allocated at {place}")
        await page.get_by_role("button", name="Ship").click()
        await page.get_by_label("From").select_option(place)
        await page.get_by_role("dialog").get_by_role("button", name="Ship").click()
        await expect(page.get_by_role("region", name="Shipments")).to_contain_text(f"from {place}")
        await expect(page.get_by_role("region", name="Lines")).to_contain_text("1 allocated at default")


async def test_webhooks_are_listed_paused_and_resumed_and_show_no_token(
    api: Api, address: str, unique: Callable[[str], str]
) -> None:
    customer, order = unique("ada"), unique("o")
    dead = {"url": "http://127.0.0.1:9/hooks?token=t0ps3cret", "customerIds": [customer], "types": ["OrderPlaced"]}
    status, answer, _ = await eventually(lambda: api("POST", "/webhooks", dead), lambda found: found[0] != 503)
    assert status == 201, answer
    path, secret = f"/webhooks/{answer['data']['id']}", answer["data"]["secret"]
    await api.place((unique("boots"), 1), orderId=order, customerId=customer)
    try:
        async with dashboard(f"{address}#/webhooks") as page:
            row = page.get_by_role("row", name=customer)
            await expect(row).to_contain_text("active")
            await row.get_by_role("button", name="Pause").click()
            await expect(row).to_contain_text("paused")
            await row.get_by_role("button", name="Resume").click()
            await expect(row).to_contain_text("active")
            await row.get_by_role("link", name="127.0.0.1:9").click()
            await expect(page.get_by_role("region", name="Deliveries").get_by_role("row", name=order)).to_contain_text(
                re.compile("retrying.*Cannot connect", re.IGNORECASE | re.DOTALL)
            )
            await expect(page.get_by_role("region", name="Waiting for a retry")).to_contain_text(order)
            await screenshot(page, "webhook")
            shown = await page.content()
            assert "t0ps3cret" not in shown
            assert secret not in shown
            await page.get_by_label("Deliveries").last.select_option("delivered")
            await expect(page.get_by_role("region", name="Deliveries")).to_contain_text("No deliveries.")
            await page.get_by_role("button", name="Replay").click()
            await page.get_by_label("From").fill("2026-01-01T00:00")
            await page.get_by_role("dialog").get_by_role("button", name="Replay").click()
            await expect(page.get_by_role("status").last).to_have_text("Deliveries start again.")
    finally:
        await api("DELETE", path)


async def test_a_reader_sees_no_webhooks_and_nothing_to_change_them(address: str) -> None:
    async with dashboard(address, refused=True) as page:
        sentence = "this needs a token with the scope operate"
        await page.route("**/api/v1/webhooks", lambda route: route.fulfill(
            status=403, json={"error": "MISSING_SCOPE", "message": sentence}))  # fmt: skip
        await page.get_by_role("navigation", name="Sections").get_by_role("link", name="Webhooks").click()
        await expect(page.get_by_role("alert")).to_contain_text(sentence)
        buttons = page.get_by_role("main").get_by_role("button")
        assert await buttons.all_inner_texts() == ["Use another token"]


RATES: dict[str, Any] = {
    "stepSeconds": 5,
    "from": 1000,
    "steps": [{"events": {"OrderPlaced": 10, "OrderHeld": 1}}] * 180,
}


@pytest.mark.parametrize(("known_from", "seconds", "placed"), [(0, 60, 120), (1870, 25, 50), (1899, 0, 0)])
async def test_incomplete_counts_are_not_shown(address: str, known_from: int, seconds: int, placed: int) -> None:
    ask = """async (rates) => {
        const { lately } = await import("/static/views/lately.js");
        const { seconds, events } = lately(rates);
        return [seconds, events("OrderPlaced")];
    }"""
    async with dashboard(address) as page:
        assert await page.evaluate(ask, {**RATES, "knownFrom": known_from}) == [seconds, placed]


async def test_a_value_without_neighbours_is_drawn(address: str) -> None:
    ask = """async (values) => {
        const { chart } = await import("/static/chart.js");
        return chart("", [values]).element.querySelector(".dots").getAttribute("d").split("M").length - 1;
    }"""
    async with dashboard(address) as page:
        assert await page.evaluate(ask, [None, 5, None, 1, 2, None, 3]) == 2


async def test_show_more_works_while_a_list_is_refreshed(api: Api, address: str, unique: Callable[[str], str]) -> None:
    product, go_on = unique("boots"), asyncio.Event()
    for quantity in range(1, 61):
        await api.stock(product, quantity)

    async def wait(route: Route) -> None:
        await go_on.wait()
        await route.continue_()

    async with dashboard(f"{address}#/inventory/{product}") as page:
        rows = page.get_by_role("region", name="Movements").locator("tbody tr")
        await expect(rows).to_have_count(50)
        # times: only the click's own request waits; a refresh may ask for more, too
        await page.route(re.compile("/ledger.*cursor="), wait, times=1)
        await page.get_by_role("button", name="Show more").click()
        async with page.expect_response(lambda each: "/ledger" in each.url and "cursor=" not in each.url):
            await api.stock(product, 100)
        go_on.set()
        await expect(rows.first).to_contain_text("100")
        await expect(rows).to_have_count(61)
