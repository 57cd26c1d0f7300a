"""The HTTP application: its paths, and the one layer around every handler."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, cast

from aiohttp import web
from aiohttp.typedefs import Handler

from streams.access.browsers import Browsers
from streams.access.denials import Denied
from streams.access.gate import Gate
from streams.messages.envelope import new_id
from streams.runtime.metrics import DENIED
from streams.tracing import traces

from . import PREFIX
from .answers import Answer
from .authorization import GATE, authorize
from .commands.batch import send_commands
from .commands.outcomes import command_outcome
from .commands.quota import QUOTAS, Quotas
from .commands.routes import COMMAND_ROUTES
from .documents import pages, site
from .documents.asyncapi import asyncapi
from .documents.openapi import openapi, openapi_yaml
from .errors import Problem, problem_of
from .files.order_export import export_orders
from .files.stock_import import import_stock
from .files.uploads import AT_ONCE, SLOTS
from .metrics import observe
from .operations import health, letters, overview, webhooks
from .operations.actions import list_actions
from .operations.messages import show_message
from .operations.projections import show_projections
from .queries.preview import preview
from .queries.routes import QUERY_ROUTES
from .query_string import check_query
from .requests import CORRELATION, PRINCIPAL, correlation_of
from .services import SERVICES, Services
from .sse.stream import stream_events
from .tracing import traced

log = logging.getLogger(__name__)

BROWSERS = web.AppKey("browsers", Browsers)
Answering = Callable[[web.Request], Awaitable[Answer | web.StreamResponse]]


def install(application: web.Application, services: Services) -> None:
    """Add the paths and the layer around them to `application`; the caller starts and stops the services."""
    application[SERVICES] = services
    application[BROWSERS], application[GATE] = Browsers(services.settings), Gate(services.settings)
    application[QUOTAS] = Quotas(services.settings.commands_per_second)
    application[SLOTS] = asyncio.Semaphore(AT_ONCE)
    if traces.ON is not None:
        application.middlewares.append(traced)
    application.middlewares.append(around)
    for command in COMMAND_ROUTES:
        add(application, command.method, PREFIX + command.path, command)
    for query in QUERY_ROUTES:
        add(application, "GET", PREFIX + query.path, query)
    add(application, "POST", f"{PREFIX}/commands", send_commands)
    add(application, "GET", f"{PREFIX}/commands/{{commandId}}", command_outcome)
    add(application, "POST", f"{PREFIX}/allocations/preview", preview)
    add(application, "POST", f"{PREFIX}/stock/imports", import_stock)
    add(application, "GET", f"{PREFIX}/exports/orders", export_orders)
    application.router.add_get(f"{PREFIX}/events", stream_events, allow_head=False)
    add(application, "GET", f"{PREFIX}/messages/{{topic}}/{{messageId}}", show_message)
    add(application, "GET", f"{PREFIX}/projections", show_projections)
    add(application, "GET", f"{PREFIX}/operator-actions", list_actions)
    overview.prepare(application, services)
    for method, path, handler in (*overview.ROUTES, *letters.ROUTES, *webhooks.ROUTES):
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
    """Check the credentials and the query, encode the answer or the error, add the correlation id, and measure."""
    began = perf_counter()
    found: Any
    try:
        if sent := correlation_of(request.headers):
            request[CORRELATION] = sent
        request.app[BROWSERS].refuse_foreign(request.method, request.headers)
        await _authorize(request)
        if request.rel_url.raw_query_string:
            check_query(request)
        found = await handler(request)
    except Exception as error:
        if isinstance(error, Denied):
            DENIED.labels(error.code).inc()
        found = (problem_of(error) or _fault(request, error)).answer()
    response = _response(request, found)
    observe(request, response.status, perf_counter() - began)
    return response


def is_open(path: str) -> bool:
    """Return whether a path needs no credentials."""
    return path in health.OPEN_TO_ALL or pages.is_open(path)


def _response(request: web.Request, found: Answer | web.StreamResponse) -> web.StreamResponse:
    """Return the response to send, with the correlation id unless it is under way already."""
    correlation = request.get(CORRELATION)
    headers = {"Correlation-Id": correlation} if correlation else {}
    if isinstance(found, Answer):
        return found.response(headers)
    if not found.prepared:
        found.headers.update(headers)
    return found


async def _authorize(request: web.Request) -> None:
    """Find out who sent the request, and deny what they may not do; a path that is open to all may have a stranger."""
    gate = request.app[GATE]
    if not gate.is_open and is_open(request.path):
        if (known := await gate.known(request)) is not None:
            request[PRINCIPAL] = known
        return
    await authorize(request)


def _fault(request: web.Request, error: Exception) -> Problem:
    """Log an unexpected error with its traceback; the client gets the correlation id to ask about."""
    correlation = request.setdefault(CORRELATION, new_id())
    said = {"correlation_id": correlation}
    log.error("%s %s failed, correlation id %s", request.method, request.path, correlation, exc_info=error, extra=said)
    return Problem("INTERNAL_ERROR", "the service failed; the error is logged under this Correlation-Id")
