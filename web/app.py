"""The HTTP application: routes, and the one layer around them."""

import hmac
import logging
from time import perf_counter

from aiohttp import web
from aiohttp.typedefs import Handler

from streams.messages.envelope import new_id
from streams.tracing import traces

from .commands.answering import PREFIX
from .commands.batch import send_commands
from .commands.outcomes import command_outcome
from .commands.routes import COMMAND_ROUTES
from .documents import pages, site
from .documents.asyncapi import asyncapi
from .documents.openapi import openapi, openapi_yaml
from .errors import Problem, problem_of
from .live.stream import live_events
from .metrics import observe
from .operations import health, letters, overview
from .operations.messages import show_message
from .operations.projections import show_projections
from .queries.routes import QUERY_ROUTES
from .query_string import check_query
from .requests import CORRELATION, correlation_of
from .services import SERVICES, Services
from .tracing import traced

log = logging.getLogger(__name__)


def install(application: web.Application, services: Services) -> None:
    """Give `application` its routes and the layer around them; the caller starts and stops the services."""
    application[SERVICES] = services
    if traces.ON is not None:
        application.middlewares.append(traced)
    application.middlewares.append(around)
    add, show = application.router.add_route, application.router.add_get  # which answers HEAD too
    for route in COMMAND_ROUTES:
        add(route.method, PREFIX + route.path, _function(route))
    for query in QUERY_ROUTES:
        show(PREFIX + query.path, _function(query))
    add("POST", f"{PREFIX}/commands", send_commands)
    show(f"{PREFIX}/commands/{{commandId}}", command_outcome)
    show(f"{PREFIX}/events", live_events, allow_head=False)
    show(f"{PREFIX}/messages/{{topic}}/{{messageId}}", show_message)
    overview.install(application, services)
    letters.install(application)
    show(f"{PREFIX}/projections", show_projections)
    show("/livez", health.livez)
    show("/readyz", health.readyz)
    show("/health", health.health)
    show("/metrics", health.metrics)
    show("/openapi.json", openapi)
    show("/openapi.yaml", openapi_yaml)
    show("/asyncapi.json", asyncapi)
    show("/", health.index)
    pages.install(application)
    site.install(application)


def _function(handler: Handler) -> Handler:
    """Return a coroutine function, which aiohttp wants of a handler."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    return handle


@web.middleware
async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Ask for the token, turn what is raised into answers, count, and give the correlation id back."""
    began = perf_counter()
    try:
        if sent := correlation_of(request.headers):
            request[CORRELATION] = sent
        _authorize(request)
        check_query(request)
        response = await handler(request)
    except Exception as error:
        response = (problem_of(error) or _fault(request, error)).response()
    if not response.prepared and (correlation := request.get(CORRELATION)):
        response.headers["Correlation-Id"] = correlation
    observe(request, response.status, perf_counter() - began)
    return response


def _authorize(request: web.Request) -> None:
    token = request.app[SERVICES].settings.api_token
    if token is None or request.path in health.OPEN_TO_ALL or pages.is_open(request.path):
        return
    sent = request.headers.get("Authorization", "")
    if not hmac.compare_digest(sent.encode(errors="surrogateescape"), f"Bearer {token}".encode()):
        raise Problem(401, "UNAUTHORIZED", "send Authorization: Bearer <token>", headers={"WWW-Authenticate": "Bearer"})


def _fault(request: web.Request, error: Exception) -> Problem:
    """Log a fault of ours with its trace; the client gets the id to ask about."""
    correlation = request.setdefault(CORRELATION, new_id())
    said = {"correlation_id": correlation}
    log.error("%s %s failed, correlation id %s", request.method, request.path, correlation, exc_info=error, extra=said)
    return Problem(500, "INTERNAL_ERROR", "something went wrong here; it is logged under the Correlation-Id")
