"""The pages for browsers: the dashboard, the API documents and their parts, all from this package.

Every file has an `ETag` and `no-cache`, so that browsers show a new version at once and do not reload an unchanged one.
The Content-Security-Policy allows a page to load from this server only.
"""

import gzip
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path

from aiohttp import web

from web.errors import Problem

STATIC = Path(__file__).parents[1] / "static"
COMPRESSED_FROM = 1_000  # bytes
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Swagger UI and Redoc write styles into the page, and the search of Redoc is a worker from a blob.
OF_OTHERS = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
PAGES = {
    "/": ("index.html", STRICT),
    "/api-docs": ("api-docs.html", OF_OTHERS),
    "/redoc/": ("redoc.html", OF_OTHERS),
    "/asyncapi": ("asyncapi.html", STRICT),
}
OPEN = frozenset(
    {*PAGES, "/docs", "/redoc", "/openapi.json", "/openapi.yaml", "/asyncapi.json", "/favicon.ico"}
)  # they hold no data


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent: plain, and compressed if that saves bytes."""

    type: str
    plain: bytes
    compressed: bytes | None
    tag: str


def is_open(path: str) -> bool:
    """Return whether `path` needs no token, because a browser cannot send one when it loads a page."""
    return path in OPEN or path.startswith(("/static/", "/docs/"))


async def show_page(request: web.Request) -> web.Response:
    """Answer with a page."""
    name, policy = PAGES[request.path]
    return sent(request, name, policy)


async def show_file(request: web.Request) -> web.Response:
    """Answer with a part of a page."""
    return sent(request, request.match_info["path"], STRICT)


async def favicon(request: web.Request) -> web.Response:
    """Answer with the icon that browsers request on their own."""
    return sent(request, "icon.svg", STRICT)


async def to_redoc(request: web.Request) -> web.Response:
    """Redirect to the path with the slash."""
    return web.Response(status=308, headers={"Location": "/redoc/"})


def sent(request: web.Request, name: str, policy: str) -> web.Response:
    """Return a file, or a 304 if the browser already has it."""
    found = files().get(name)
    if found is None:
        raise Problem("NOT_FOUND", f"there is no file {name}")
    return respond(request, found, policy)


def respond(request: web.Request, found: File, policy: str) -> web.Response:
    """Return the response with a file, or a 304 if the browser already has it."""
    headers = {
        "ETag": found.tag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept, Accept-Encoding",
    }
    if found.tag in [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]:
        return web.Response(status=304, headers=headers)
    body, kind = found.plain, found.type
    if found.compressed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        body, headers["Content-Encoding"] = found.compressed, "gzip"
    return web.Response(body=body, headers={**headers, "Content-Type": kind})


@lru_cache(maxsize=1)
def files() -> dict[str, File]:
    """Return every file below `static/` by its path; a `.gz` file has the name of its content."""
    found = {}
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            name, content = path.relative_to(STATIC).as_posix(), path.read_bytes()
            found[name.removesuffix(".gz")] = file_of(name.removesuffix(".gz"), content, name.endswith(".gz"))
    return found


def file_of(name: str, content: bytes, is_compressed: bool = False) -> File:
    """Return a file as it is sent, from its content; `is_compressed` if that is gzip."""
    kind = guess_type(name)[0] or "application/octet-stream"
    if kind.startswith("text/") or kind.endswith(("javascript", "json", "svg+xml")):
        kind += "; charset=utf-8"
    plain = gzip.decompress(content) if is_compressed else content
    small = content if is_compressed else gzip.compress(content, mtime=0)
    compressed = small if len(plain) >= COMPRESSED_FROM and len(small) < len(plain) else None
    return File(kind, plain, compressed, f'"{sha256(plain).hexdigest()[:16]}"')


ROUTES = (  # `/` is in `operations.health`, because only browsers get the dashboard there
    *((path, show_page) for path in PAGES if path != "/"),
    ("/redoc", to_redoc),
    ("/favicon.ico", favicon),
    ("/static/{path:.+}", show_file),
)
