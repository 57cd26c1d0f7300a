"""The web server of every worker: malformed requests are refused in JSON, and do not count as our errors.

aiohttp answers malformed requests, an unknown `Expect` and an unknown path in plain text, and logs most of them with a
traceback. Here such answers have the format of all others, and are counted and logged at DEBUG: a thousand malformed
requests leave a number in a counter and nothing in the log.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong
from faust.web.drivers.aiohttp import Web

from streams.runtime.metrics import MALFORMED

URL_BYTES, HEADER_BYTES = 8_190, 8_192  # limits; they differ, so that an error shows which of the two was too long
NOT_UNDERSTOOD = {  # status → code and sentence
    400: ("BAD_REQUEST", "the request is not valid HTTP"),
    401: ("UNAUTHORIZED", "send Authorization: Bearer <token>"),
    404: ("NOT_FOUND", "there is nothing at this path"),
    405: ("METHOD_NOT_ALLOWED", "this path takes other methods"),
    414: ("URI_TOO_LONG", f"the address is longer than {URL_BYTES} bytes"),
    417: ("EXPECTATION_FAILED", "of Expect, only 100-continue is known"),
    431: ("HEADERS_TOO_LARGE", f"a header is longer than {HEADER_BYTES} bytes"),
    500: ("INTERNAL_ERROR", "something went wrong here; it is logged"),
    504: ("TIMEOUT", "it took too long"),
}


def refusal(status: int, reason: str | None = None) -> web.Response:
    """Return the answer to a request that has no handler of its own."""
    code, sentence = NOT_UNDERSTOOD.get(status) or (HTTPStatus(status).name, HTTPStatus(status).phrase)
    body = {"success": False, "error": code, "message": reason or sentence, "details": {}}
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", charset="utf-8")


def status_of(error: BaseException | None) -> int:
    """Return the status of a parser's error."""
    match error:
        case LineTooLong(args=args):
            return 414 if str(URL_BYTES) in map(str, args) else 431
    return 400


def is_clients(error: object) -> bool:
    """Return whether an error is the client's: bytes that are not HTTP, or a closed connection."""
    return isinstance(error, HttpProcessingError | web.RequestPayloadError | ConnectionError)


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that has no answer yet: the client's errors without logging them, ours as aiohttp does."""
        if is_clients(exc) and not request.writer.output_size:
            status = status_of(exc)
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
        return await super().finish_response(request, resp, start_time)

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


class Runner(web.AppRunner):
    """Serves an application with our connections."""

    @property
    def server(self) -> Any:
        """The factory of connections, which sites listen with."""
        manager = super().server
        return None if manager is None else _connections(manager)


def _connections(manager: web.Server) -> Callable[[], Connection]:
    """Return a factory of connections that `manager` manages like aiohttp's own."""
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {
        "max_line_size": URL_BYTES,
        "max_field_size": HEADER_BYTES,
        "access_log": None,
        "auto_decompress": False,  # `web.requests.body_of` does it, and checks whether the body is complete
    }
    return lambda: Connection(manager, loop=loop, **options)


class Server(Web):  # type: ignore[misc]  # Faust is not typed
    """Faust's web server with our connections."""

    def __init__(self, app: Any, *, shutdown_seconds: float = 60.0, **options: Any) -> None:
        super().__init__(app, **options)
        self._runner = Runner(self.web_app, shutdown_timeout=shutdown_seconds)
