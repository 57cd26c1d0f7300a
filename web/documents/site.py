"""The documentation site at `/docs`, which `make docs` builds.

Files are read again when they change, so a site that is built while the api runs shows at once.
"""

import asyncio
import re
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from aiohttp import web

from web.documents.pages import OF_OTHERS, File, file_of, respond
from web.errors import Problem

SITE = Path(__file__).parents[1] / "site"
MOST_FILES = 500  # that are kept in memory
INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def install(application: web.Application) -> None:
    """Give `application` the site's routes."""
    application.router.add_get("/docs", to_site)
    application.router.add_get("/docs/{path:.*}", show_site)


async def to_site(request: web.Request) -> web.Response:
    """Redirect to the path with the slash."""
    return web.Response(status=308, headers={"Location": "/docs/"})


async def show_site(request: web.Request) -> web.Response:
    """Answer a file of the site."""
    name = request.match_info["path"]
    try:
        if name and not name.endswith("/") and _inside(name).is_dir():
            return web.Response(status=308, headers={"Location": f"/docs/{name}/"})
        file, policy = await asyncio.to_thread(_load, name)
    except OSError:  # the name is longer than the file system allows, or the file was removed while it was read
        raise _no_such_page() from None
    return respond(request, file, policy)


def _inside(name: str) -> Path:
    """Return the path of a file of the site; raise 404 if it is outside."""
    if not name.isprintable():  # paths must not contain NUL, nor `Location` a line break
        raise _no_such_page()
    path = (SITE / name).resolve()
    if not path.is_relative_to(SITE.resolve()):
        raise _no_such_page()
    return path


def _no_such_page() -> Problem:
    return Problem("NOT_FOUND", "there is no such page in the documentation")


def _load(name: str) -> tuple[File, str]:
    """Return the file for a path below `/docs/`, with its Content-Security-Policy; raise 404 if there is none."""
    if not SITE.is_dir():
        raise Problem("NOT_FOUND", "the documentation site is not built: run `make docs`")
    path = _inside(name)
    if path.is_dir():
        path /= "index.html"
    if not path.is_file():
        raise _no_such_page()
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=MOST_FILES)
def _read(path: Path, modified: int) -> tuple[File, str]:
    content = path.read_bytes()
    return file_of(path.name, content), _policy(content) if path.suffix == ".html" else OF_OTHERS


def _policy(page: bytes) -> str:
    """Return a policy that allows the inline scripts of this page, by their hashes, and no others."""
    hashes = {b64encode(sha256(script).digest()).decode() for script in INLINE_SCRIPT.findall(page)}
    allowed = " ".join(f"'sha256-{each}'" for each in sorted(hashes))
    return OF_OTHERS.replace("script-src 'self'", f"script-src 'self' {allowed}".rstrip())
