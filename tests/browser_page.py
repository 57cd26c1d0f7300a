"""A real Chromium on the dashboard: Playwright drives the system's own, and its console must stay empty."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Page, async_playwright, expect

expect.set_options(timeout=180_000)  # in milliseconds: a condition may take long on a loaded machine
ARTEFACTS = Path(__file__).parents[1] / "artefacts" / "screenshots"


@asynccontextmanager
async def dashboard(address: str, scheme: str = "light", refused: bool = False) -> AsyncIterator[Page]:
    """Yield a page at `address`; fail if its console complains or it sends requests to other hosts.

    `refused`: answers of 4xx are expected, which Chromium also reports in the console.
    """
    place = urlsplit(address)
    ours = (f"{place.scheme}://{place.netloc}/", "data:", "blob:")
    program = shutil.which("chromium")
    assert program, "Chromium is needed: apt-get install chromium, as .ci/run does"
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            page = await browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
            page.set_default_timeout(180_000)
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda asked: None if asked.url.startswith(ours) else complaints.append(asked.url))
            await page.goto(address)
            yield page
        finally:
            await browser.close()
    assert [each for each in complaints if not (refused and "the server responded with a status of 4" in each)] == []


async def screenshot(page: Page, name: str) -> None:
    """Keep a screenshot of the page among the run's artefacts."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=ARTEFACTS / f"{name}.png")
