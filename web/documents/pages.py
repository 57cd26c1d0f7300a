"""What browsers load: the dashboard, the documents' pages and their parts, from this package alone.

Every file has an `ETag` and is asked for again (`no-cache`), so that a new version shows at once and an old one costs
nothing. The Content-Security-Policy lets a page load from here and nowhere else.
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
# Swagger UI and Redoc write styles into the page, and Redoc's search is a worker made of a blob.
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
    """A file as it is sent: plain, and compressed where that is worth it."""

    type: str
    plain: bytes
    compressed: bytes | None
    tag: str


def install(application: web.Application) -> None:
    """Give `application` the pages and their parts; `/` itself is `operations.index`'s, for who asks for HTML."""
    router = application.router
    for path in PAGES:
        if path != "/":
            router.add_get(path, show_page)
    router.add_get("/redoc", to_redoc)
    router.add_get("/favicon.ico", favicon)
    router.add_get("/static/{path:.+}", show_file)


def is_open(path: str) -> bool:
    """Say whether `path` is answered without a token: a browser that loads a page cannot send one."""
    return path in OPEN or path.startswith(("/static/", "/docs/"))


async def show_page(request: web.Request) -> web.Response:
    """Answer a page."""
    name, policy = PAGES[request.path]
    return sent(request, name, policy)


async def show_file(request: web.Request) -> web.Response:
    """Answer a part of a page."""
    return sent(request, request.match_info["path"], STRICT)


async def favicon(request: web.Request) -> web.Response:
    """Answer what browsers ask for by themselves."""
    return sent(request, "icon.svg", STRICT)


async def to_redoc(request: web.Request) -> web.Response:
    """Lead to the path with the slash."""
    return web.Response(status=308, headers={"Location": "/redoc/"})


def sent(request: web.Request, name: str, policy: str) -> web.Response:
    """Return a file, or 304 where the browser has it already."""
    found = files().get(name)
    if found is None:
        raise Problem(404, "NOT_FOUND", "there is no such file")
    return respond(request, found, policy)


def respond(request: web.Request, found: File, policy: str) -> web.Response:
    """Return the answer with a file, or 304 if the browser has it already."""
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
    """Return every file below `static/` by its path there; a `.gz` goes by the name of what is in it."""
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
