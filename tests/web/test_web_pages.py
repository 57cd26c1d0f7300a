"""The pages: there without a token, tagged, compressed where asked for, and allowed to load from here only."""

import re
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streams.runtime.settings import Settings
from web.app import install
from web.documents.pages import PAGES, STATIC, files
from web.services import Services


@pytest.fixture
async def browser() -> TestClient:
    """Return a client of an API that wants a token, and has neither Kafka nor MongoDB."""

    class Guarded:
        settings = Settings(api_token="secret")

    application = web.Application()
    install(application, cast(Services, Guarded()))
    client = TestClient(TestServer(application), headers={"Accept": "text/html"}, auto_decompress=False)
    await client.start_server()
    yield client
    await client.close()


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_needs_no_token_and_loads_only_from_this_server(browser: TestClient, path: str) -> None:
    response = await browser.get(path)
    assert (response.status, response.content_type) == (200, "text/html")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"http|\*|script-src[^;]*unsafe", policy)
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", PAGES)
def test_every_file_that_a_page_names_exists(path: str) -> None:
    text = files()[PAGES[path][0]].plain.decode()
    named = re.findall(r'(?:src|href)="([^"#]+)"', text)
    assert named
    for each in named:
        assert (
            each in {"/", "/openapi.json", "/asyncapi.json", "/metrics", *PAGES}
            or each.removeprefix("/static/") in files()
        ), each
    assert "<style" not in text
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=", text)


def test_our_pages_name_no_other_host() -> None:
    ours = [path for path in STATIC.rglob("*") if path.is_file() and "vendor" not in path.parts]
    assert len(ours) > 8
    for path in ours:
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", path.read_text()), path


async def test_a_file_is_sent_once(browser: TestClient) -> None:
    first = await browser.get("/static/base.css", headers={"Accept-Encoding": "gzip"})
    assert (first.status, first.headers["Content-Encoding"]) == (200, "gzip")
    again = await browser.get("/static/base.css", headers={"If-None-Match": f'"x", W/{first.headers["ETag"]}'})
    assert (again.status, await again.read()) == (304, b"")
    plain = await browser.get("/static/vendor/redoc.standalone.js", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert b"Redoc" in await plain.read()


@pytest.mark.parametrize("path", ["/static/nothing.js", "/static/../pages.py", "/static/%2e%2e/pages.py"])
async def test_other_paths_are_404(browser: TestClient, path: str) -> None:
    response = await browser.get(path)
    assert response.status in (401, 404)
    assert b"install" not in await response.read()


async def test_data_requires_the_token(browser: TestClient) -> None:
    assert (await browser.get("/metrics")).status == 401


async def test_a_client_that_does_not_accept_html_gets_links(browser: TestClient) -> None:
    async with aiohttp.ClientSession() as session, session.get(browser.make_url("/")) as response:
        assert response.content_type == "application/json"
        assert (await response.json())["data"]["links"]["redoc"] == "/redoc/"
