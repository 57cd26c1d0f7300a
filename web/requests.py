"""Reading requests: bodies, ids, times and preferences. Every function raises a 4xx `Problem` for invalid input."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from aiohttp import web
from multidict import CIMultiDictProxy
from pydantic import TypeAdapter, ValidationError

from domain.message import MAX_ID, Id, instant
from streams.access.principals import Principal
from streams.messages.models import translated

from .decompression import CODINGS, NotCompressed, TooLarge, decompressed
from .errors import Problem, invalid
from .services import SERVICES

JSON_TYPES = ("application/json", "application/cloudevents+json")
NUMBER = re.compile(r"[0-9]{1,19}")  # enough for 64 bits; longer strings are not even converted
# Supported codings by header; the first is the default.
CODINGS_OF = {"Content-Encoding": ("identity", *CODINGS), "Transfer-Encoding": ("identity", "chunked")}
UTF8 = ("utf-8", "utf8", "us-ascii")
WAIT = re.compile(r"wait=([0-9]{1,6})")
NOT_A_TIME = "must be a time like 2026-11-23T10:00:00.000Z"
_ID: TypeAdapter[str] = TypeAdapter(translated(Id))
CORRELATION = web.RequestKey("correlation", str)  # the client's, or the command's id
PRINCIPAL = web.RequestKey("principal", Principal)  # the sender of the request; strangers have none


def principal_of(request: web.Request) -> str | None:
    """Return the name of the client that sent a request; None if the installation requires no credentials."""
    return request[PRINCIPAL].name


def is_known(request: web.Request) -> bool:
    """Return whether the client of a path that is open to all may see details."""
    principal = request.get(PRINCIPAL)
    return principal is not None and principal.may("read")


async def json_body(request: web.Request) -> bytes:
    """Return the body, which is JSON by its content type, or empty."""
    body = await body_of(request)
    if body:
        require_type(request, JSON_TYPES)
    return body


async def body_of(request: web.Request) -> bytes:
    """Return the body, decompressed."""
    coding, seconds = coding_of(request), request.app[SERVICES].settings.body_timeout
    with body_errors(seconds):
        if request.content.is_eof():  # a small body arrives with its headers; a timer would cost more than reading it
            body = await request.read()
        else:
            async with asyncio.timeout(seconds):
                body = await request.read()
    return body if coding == "identity" else _decompressed(request, body, coding)


@contextmanager
def body_errors(seconds: float) -> Iterator[None]:
    """Turn an error while a body is read, which may take `seconds`, into a 4xx."""
    try:
        yield
    except TimeoutError:
        sentence = f"the body did not arrive within {seconds:g} seconds"
        raise Problem("REQUEST_TIMEOUT", sentence, headers={"Connection": "close"}) from None
    except web.RequestPayloadError as error:
        raise Problem("BAD_REQUEST", f"the body cannot be read: {_first_line(error)}") from None
    except ConnectionError:
        raise Problem("BAD_REQUEST", "the client closed the connection before the whole body had arrived") from None


def coding_of(request: web.Request) -> str:
    """Return the Content-Encoding of the body."""
    coding, headers = "identity", request.headers
    for header, supported in CODINGS_OF.items():
        if header in headers:
            sent = ", ".join(headers.getall(header)).strip().lower()
            if sent not in supported:
                sentence = f"{header} {sent!r:.80} is not supported; send {' or '.join(supported)}"
                raise Problem("UNSUPPORTED_MEDIA_TYPE", sentence)
            if header == "Content-Encoding":
                coding = sent
    return coding


def _decompressed(request: web.Request, body: bytes, coding: str) -> bytes:
    try:
        return decompressed(body, coding, request.client_max_size)
    except NotCompressed as error:
        raise Problem("BAD_REQUEST", f"the body cannot be read: {error}") from None
    except TooLarge:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, request.client_max_size + 1) from None


def _first_line(error: web.RequestPayloadError) -> str:
    """Return why aiohttp could not read a body; its own sentence is in the cause."""
    return str(getattr(error.__cause__, "message", "") or error).strip().partition("\n")[0].rstrip(":")


def require_type(request: web.Request, types: tuple[str, ...]) -> None:
    """Refuse other content types, because a form on any web page can send those to a service on loopback."""
    sent = request.content_type
    if sent not in types and not sent.endswith("+json"):
        raise Problem("UNSUPPORTED_MEDIA_TYPE", f"the body is {sent}; send {' or '.join(types)}")
    if (charset := request.charset) is not None and charset.lower() not in UTF8:
        raise Problem("UNSUPPORTED_MEDIA_TYPE", f"the charset of the body is {charset!r:.40}; send UTF-8")


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; an empty body is an empty object."""
    parsed = json_in(body) if body else {}
    if not isinstance(parsed, dict):
        raise Problem("NOT_JSON", "the body must be a JSON object")
    return parsed


def json_in(body: bytes) -> Any:
    """Return the JSON value in a body."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem("NOT_JSON", f"the body is not JSON: {error}") from None


def identifier(value: str, field: str) -> str:
    """Return `value`, the id in `field`."""
    try:
        return _ID.validate_python(value)
    except ValidationError:
        raise invalid({field: f"must be 1 to {MAX_ID} characters without control characters"}) from None


def whole_number(sent: str, least: int, most: int) -> int | None:
    """Return the number in `sent`; None unless it is a whole number from `least` to `most`."""
    return int(sent) if NUMBER.fullmatch(sent) and least <= int(sent) <= most else None


def path_ids(request: web.Request) -> list[tuple[str, str]]:
    """Return the ids in the path by name, the aggregate's first."""
    if "%" in (path := request.rel_url.raw_path):
        try:
            unquote_to_bytes(path).decode()
        except UnicodeDecodeError:  # aiohttp would replace the bytes, and the path could name another id
            raise Problem("BAD_REQUEST", "the path is not UTF-8") from None
    return [(name, identifier(value, name)) for name, value in request.match_info.items()]


def correlation_of(headers: Mapping[str, str]) -> str | None:
    """Return the correlation id that the client sent."""
    sent = headers.get("Correlation-Id") or headers.get("X-Correlation-Id")
    return identifier(sent, "Correlation-Id") if sent else None


def single(headers: CIMultiDictProxy[str], name: str) -> str | None:
    """Return a header that must not be repeated, because two values would be ambiguous."""
    sent = headers.getall(name, [])
    if len(sent) > 1:
        raise invalid({name: "was sent more than once"})
    return sent[0] if sent else None


def time_in(query: Mapping[str, str], name: str) -> str | None:
    """Return the time in a query parameter."""
    try:
        return instant(query[name]) if query.get(name) else None
    except ValueError:
        raise invalid({name: NOT_A_TIME}) from None


@dataclass(frozen=True, slots=True)
class Preference:
    """How long to wait for an outcome, from `Prefer` (RFC 7240): `respond-async` or `wait=<seconds>`."""

    asynchronous: bool
    seconds: float

    @classmethod
    def of(cls, headers: Mapping[str, str], longest: float) -> "Preference":
        """Read the header; `longest` is the default wait and its limit."""
        sent = headers.get("Prefer")
        if sent is None:
            return cls(False, longest)
        words = [word.strip().lower() for word in sent.split(",")]
        waits = [min(float(found[1]), longest) for word in words if (found := WAIT.fullmatch(word))]
        asynchronous = "respond-async" in words
        return cls(asynchronous, waits[0] if waits else 0.0 if asynchronous else longest)
