"""The documentation site builds without warnings, needs no other host, and is served at /docs."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from documents import ROOT
from yarl import URL

from streams.runtime.settings import Settings
from web.app import install
from web.documents import site
from web.services import Services


@pytest.fixture(scope="module")
def built(processes: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site and return its directory."""
    folder = tmp_path_factory.mktemp("built") / "site"
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
async def browser() -> TestClient:
    """Return a client of an API that has neither Kafka nor MongoDB."""

    class Guarded:
        settings = Settings(api_token="secret")

    application = web.Application()
    install(application, cast(Services, Guarded()))
    client = TestClient(TestServer(application), auto_decompress=False)
    await client.start_server()
    yield client
    await client.close()


def test_pages_load_nothing_from_other_hosts(built: Path) -> None:
    pages = list(built.rglob("*.html"))
    assert len(pages) > 20
    loaded = re.compile(r"""<(?:script|img|iframe|source)[^>]*\ssrc="?([^"\s>]+)|<link[^>]*\shref="?([^"\s>]+)""")
    for page in pages:
        for found in loaded.findall(page.read_text()):
            assert "//" not in "".join(found), page
    assert '<script src="../assets/vendor/mermaid.tiny.js">' in (built / "architecture/index.html").read_text()
    assert (built / "assets/vendor/mermaid.tiny.js").stat().st_size > 1_000_000


async def test_it_is_served_without_a_token(browser: TestClient, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "SITE", built)
    start = await browser.get("/docs")
    assert (start.status, start.url.path, start.content_type) == (200, "/docs/", "text/html")
    page = await browser.get("/docs/tutorial")
    assert (page.status, page.url.path) == (200, "/docs/tutorial/")
    policy = page.headers["Content-Security-Policy"]
    assert re.search(r"script-src 'self' 'sha256-[^;]*;", policy)
    assert not re.search(r"http|\*|script-src[^;]*unsafe", policy)
    script = await browser.get("/docs/assets/vendor/mermaid.tiny.js")
    assert (script.status, script.content_type) == (200, "text/javascript")
    for path in ("/docs/none/", "/docs/..%2fapp.py", "/docs/%2fetc%2fpasswd"):
        assert (await browser.get(URL(path, encoded=True))).status == 404


@pytest.mark.parametrize("path", ["%00", "a%0d", "n" * 256, "n/" * 3_000, "pages/%F0%9F%92%80/"])
async def test_a_path_that_no_file_can_have_is_404(
    path: str, browser: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(site, "SITE", tmp_path)
    (tmp_path / "pages").mkdir()
    answer = await browser.get(URL(f"/docs/{path}", encoded=True), allow_redirects=False)
    assert (answer.status, (await answer.json())["error"]) == (404, "NOT_FOUND")
    assert not [each for each in caplog.records if each.name.startswith(("aiohttp", "asyncio", "web"))]


async def test_a_rebuilt_page_shows_at_once(
    browser: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "SITE", tmp_path)
    page = tmp_path / "index.html"
    for number, text in enumerate(("first", "second")):
        page.write_text(text)
        os.utime(page, ns=(number, number))
        assert await (await browser.get("/docs/")).text() == text


async def test_without_a_site_it_says_how_to_build_one(
    browser: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "SITE", tmp_path / "none")
    answer = await browser.get("/docs/")
    assert answer.status == 404
    assert "make docs" in (await answer.json())["message"]
