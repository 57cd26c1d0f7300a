"""The HTTP application: its paths, and the one layer around every handler."""

import hmac
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, cast

from aiohttp import web
from aiohttp.typedefs import Handler

from streams.access.browsers import Browsers
from streams.messages.envelope import new_id
from streams.tracing import traces

from . import PREFIX
from .answers import Answer
from .commands.batch import send_commands
from .commands.outcomes import command_outcome
from .commands.routes import COMMAND_ROUTES
from .documents import pages, site
from .documents.asyncapi import asyncapi
from .documents.openapi import openapi, openapi_yaml
from .errors import Problem, problem_of
from .metrics import observe
from .operations import health, letters, overview
from .operations.messages import show_message
from .operations.projections import show_projections
from .queries.routes import QUERY_ROUTES
from .query_string import check_query
from .requests import CORRELATION, correlation_of
from .services import SERVICES, Services
from .sse.stream import stream_events
from .tracing import traced

log = logging.getLogger(__name__)

BROWSERS = web.AppKey("browsers", Browsers)
Answering = Callable[[web.Request], Awaitable[Answer | web.StreamResponse]]


def install(application: web.Application, services: Services) -> None:
    """Add the paths and the layer around them to `application`; the caller starts and stops the services."""
    application[SERVICES] = services
    application[BROWSERS] = Browsers(services.settings)
    if traces.ON is not None:
        application.middlewares.append(traced)
    application.middlewares.append(around)
    for command in COMMAND_ROUTES:
        add(application, command.method, PREFIX + command.path, command)
    for query in QUERY_ROUTES:
        add(application, "GET", PREFIX + query.path, query)
    add(application, "POST", f"{PREFIX}/commands", send_commands)
    add(application, "GET", f"{PREFIX}/commands/{{commandId}}", command_outcome)
    application.router.add_get(f"{PREFIX}/events", stream_events, allow_head=False)
    add(application, "GET", f"{PREFIX}/messages/{{topic}}/{{messageId}}", show_message)
    add(application, "GET", f"{PREFIX}/projections", show_projections)
    overview.prepare(application, services)
    for method, path, handler in (*overview.ROUTES, *letters.ROUTES):
        add(application, method, PREFIX + path, handler)
    outside: tuple[tuple[str, Answering], ...] = (*health.ROUTES, *pages.ROUTES)
    for path, shown in outside:
        add(application, "GET", path, shown)
    add(application, "GET", "/openapi.json", openapi)
    add(application, "GET", "/openapi.yaml", openapi_yaml)
    add(application, "GET", "/asyncapi.json", asyncapi)
    site.install(application)


def add(application: web.Application, method: str, path: str, handler: Answering) -> None:
    """Add a path; `around` turns the answer of its handler into a response. GET also answers HEAD."""

    async def handle(request: web.Request) -> web.StreamResponse:  # aiohttp accepts coroutine functions only
        return cast(web.StreamResponse, await handler(request))

    if method == "GET":
        application.router.add_get(path, handle)
    else:
        application.router.add_route(method, path, handle)


@web.middleware
async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check the token and the query, encode the answer or the error, add the correlation id, and measure."""
    began = perf_counter()
    found: Any
    try:
        if sent := correlation_of(request.headers):
            request[CORRELATION] = sent
        request.app[BROWSERS].refuse_foreign(request.method, request.headers)
        _authorize(request)
        if request.rel_url.raw_query_string:
            check_query(request)
        found = await handler(request)
    except Exception as error:
        found = (problem_of(error) or _fault(request, error)).answer()
    response = _response(request, found)
    observe(request, response.status, perf_counter() - began)
    return response


def _response(request: web.Request, found: Answer | web.StreamResponse) -> web.StreamResponse:
    """Return the response to send, with the correlation id unless it is under way already."""
    correlation = request.get(CORRELATION)
    headers = {"Correlation-Id": correlation} if correlation else {}
    if isinstance(found, Answer):
        return found.response(headers)
    if not found.prepared:
        found.headers.update(headers)
    return found


def _authorize(request: web.Request) -> None:
    token = request.app[SERVICES].settings.api_token
    if token is None or request.path in health.OPEN_TO_ALL or pages.is_open(request.path):
        return
    sent = request.headers.get("Authorization", "")
    if not hmac.compare_digest(sent.encode(errors="surrogateescape"), f"Bearer {token}".encode()):
        raise Problem("UNAUTHORIZED", "send Authorization: Bearer <token>", headers={"WWW-Authenticate": "Bearer"})


def _fault(request: web.Request, error: Exception) -> Problem:
    """Log an unexpected error with its traceback; the client gets the correlation id to ask about."""
    correlation = request.setdefault(CORRELATION, new_id())
    said = {"correlation_id": correlation}
    log.error("%s %s failed, correlation id %s", request.method, request.path, correlation, exc_info=error, extra=said)
    return Problem("INTERNAL_ERROR", "the service failed; the error is logged under this Correlation-Id")
