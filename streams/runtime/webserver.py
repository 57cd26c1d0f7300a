"""The web server of every worker: malformed requests are refused in JSON, and do not count as our errors.

aiohttp answers malformed requests, an unknown `Expect` and an unknown path in plain text, and logs most of them with a
traceback. Here such answers have the format of all others, and are counted and logged at DEBUG: a thousand malformed
requests leave a number in a counter and nothing in the log.

A client that sends its headers too slowly is disconnected, so that it cannot hold connections open at no cost.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import StreamReader, web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong
from aiohttp.typedefs import Handler
from faust.web.drivers.aiohttp import Web

from streams.access.denials import Denied
from streams.runtime.frames import Frames
from streams.runtime.metrics import MALFORMED
from streams.runtime.settings import Settings

SHORTER = 2  # bytes that a URL must be shorter than a header, so that an error shows which of the two was too long
ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}  # headers, unless the answer has others
SOFTWARE = "order-fulfillment"  # aiohttp would tell its version
NOT_UNDERSTOOD = {  # status → code and sentence
    400: ("BAD_REQUEST", "the request is not valid HTTP"),
    401: ("UNAUTHORIZED", "send Authorization: Bearer <token>"),
    404: ("NOT_FOUND", "there is nothing at this path"),
    405: ("METHOD_NOT_ALLOWED", "this path takes other methods"),
    403: ("FORBIDDEN", "this is not allowed"),
    408: ("REQUEST_TIMEOUT", "the headers did not arrive in time"),
    414: ("URI_TOO_LONG", "the address is longer than FULFILLMENT_HEADER_BYTES"),
    417: ("EXPECTATION_FAILED", "of Expect, only 100-continue is known"),
    431: ("HEADERS_TOO_LARGE", "a header is longer than FULFILLMENT_HEADER_BYTES"),
    500: ("INTERNAL_ERROR", "something went wrong here; it is logged"),
    504: ("TIMEOUT", "it took too long"),
}


def refusal(status: int, reason: str | None = None) -> web.Response:
    """Return the answer to a request that has no handler of its own."""
    headers = {**ALWAYS, "Server": SOFTWARE}
    return web.Response(
        body=_body(status, reason), status=status, headers=headers, content_type="application/json", charset="utf-8"
    )


def denial(denied: Denied) -> web.Response:
    """Return the answer to a request that is denied."""
    body = {"success": False, "error": denied.code, "message": denied.message, "details": denied.details}
    return web.json_response(body, status=denied.status, headers=denied.headers)


def _body(status: int, reason: str | None = None) -> bytes:
    code, sentence = NOT_UNDERSTOOD.get(status) or (HTTPStatus(status).name, HTTPStatus(status).phrase)
    return orjson.dumps({"success": False, "error": code, "message": reason or sentence, "details": {}})


def status_of(error: BaseException | None, url_bytes: int) -> int:
    """Return the status of a parser's error; `url_bytes` is the longest URL."""
    match error:
        case LineTooLong(args=args):
            return 414 if str(url_bytes) in map(str, args) else 431
    return 400


def is_clients(error: object) -> bool:
    """Return whether an error is the client's: bytes that are not HTTP, or a closed connection."""
    return isinstance(error, HttpProcessingError | web.RequestPayloadError | ConnectionError)


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_answered", "_began", "_body", "_deadline", "_frames", "header_seconds")

    def __init__(self, manager: web.Server, *, header_seconds: float, **options: Any) -> None:
        super().__init__(manager, **options)
        self.header_seconds = header_seconds
        self._deadline: asyncio.TimerHandle | None = None  # ends the wait for headers
        self._began = False  # whether something of these headers has arrived
        self._body: StreamReader | None = None  # the current body, which may still arrive after the answer
        self._answered = False  # whether that request has its answer
        self._frames = Frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for headers."""
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Begin to wait for headers, if the bytes are the beginning of a request."""
        if data:  # aiohttp itself passes nothing, to continue after a pause
            ended = self._frames.add(data)
            if self._body is None:
                self._stop_waiting() if ended else self._await_headers(began=True)
        super().data_received(data)
        self._end_request()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_headers(self, *, began: bool = False) -> None:
        self._began = self._began or began
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(self.header_seconds, self._headers_are_late)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline, self._began = None, False

    def headers_arrived(self, request: web.BaseRequest) -> None:
        """End waiting for headers, because `request` is handled now."""
        self._stop_waiting()
        self._body, self._answered = request.content, False

    def _end_request(self) -> None:
        """Wait for the next request, if the current one has its answer and its whole body has arrived."""
        if self._answered and self._body is not None and self._body.is_eof():
            self._body, self._answered = None, False
            if self._frames.has_begun:
                self._await_headers(began=True)

    def _headers_are_late(self) -> None:
        """Disconnect the client; it gets an answer if it sent anything."""
        self._deadline = None
        if self._began and self.transport is not None:
            MALFORMED.labels("408").inc()
            self.transport.write(LATE)  # type: ignore[attr-defined]  # sockets have a writing transport
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that has no answer yet: the client's errors without logging them, ours as aiohttp does."""
        if is_clients(exc) and not request.writer.output_size:
            status = status_of(exc, self.max_line_size)
            reason = None if status != 400 else _reason(exc)
            MALFORMED.labels(str(status)).inc()
            self.logger.debug("refused what %s sent: %r", request.remote, exc)
        else:
            super().handle_error(request, status, exc, message)  # logs it, and raises if the answer has begun
            reason = None
        response = refusal(status, reason)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; errors that aiohttp raises itself become JSON."""
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            found = refusal(resp.status)
            if allow := resp.headers.get("Allow"):
                found.headers["Allow"] = allow
            resp = found
        finished = await super().finish_response(request, resp, start_time)
        if self._body is not request.content:  # a request that was refused before it came to `arrived`
            self.headers_arrived(request)
        self._answered = True
        self._end_request()
        return finished

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log our error; log a client's error as one line at DEBUG."""
        if is_clients(kw.get("exc_info")):
            self.logger.debug(*args)
        else:
            super().log_exception(*args, **kw)


def _reason(error: BaseException | None) -> str:
    """Return the parser's message without the bytes it quotes, which may be secret."""
    first, *_ = [*str(getattr(error, "message", "")).splitlines(), ""]
    return ": ".join(filter(None, ["the request is not valid HTTP", first.rstrip(":")]))


LATE = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\n"
    b"Cache-Control: no-store\r\nContent-Length: %d\r\n\r\n%b" % (len(_body(408)), _body(408))
)


@web.middleware
async def arrived(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the connection that all headers of a request have arrived."""
    if isinstance(request.protocol, Connection):
        request.protocol.headers_arrived(request)
    return await handler(request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that every answer has."""
    for name, value in ALWAYS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = SOFTWARE


class Runner(web.AppRunner):
    """Serves an application with our connections."""

    def __init__(self, application: web.Application, settings: Settings, **options: Any) -> None:
        super().__init__(application, **options)
        self._settings = settings

    @property
    def server(self) -> Any:
        """The factory of connections, which sites listen with."""
        manager = super().server
        return None if manager is None else connections(manager, self._settings)


def connections(manager: web.Server, settings: Settings) -> Callable[[], Connection]:
    """Return a factory of connections that `manager` manages like aiohttp's own."""
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {
        "header_seconds": settings.header_timeout,
        "max_line_size": settings.header_bytes - SHORTER,
        "max_field_size": settings.header_bytes,
        "access_log": None,
        "auto_decompress": False,  # `web.requests.body_of` does it, and checks whether the body is complete
    }
    return lambda: Connection(manager, loop=loop, **options)


class Server(Web):  # type: ignore[misc]  # Faust is not typed
    """Faust's web server with our connections."""

    def __init__(self, app: Any, settings: Settings, *, shutdown_seconds: float = 60.0, **options: Any) -> None:
        super().__init__(app, **options)
        self.web_app.middlewares.append(arrived)
        self.web_app.on_response_prepare.append(add_headers)
        self._runner = Runner(self.web_app, settings, shutdown_timeout=shutdown_seconds)
