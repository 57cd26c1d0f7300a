"""Requests as spans, in the trace of their final correlation id."""

import time

from aiohttp import web
from aiohttp.typedefs import Handler

from streams.tracing import traces
from streams.tracing.spans import Scope, Span, caller_of, new_trace, scope, trace_of

from . import PREFIX
from .requests import CORRELATION

ENDLESS = f"{PREFIX}/events"  # lasts until the client disconnects


@web.middleware
async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Record a request below the prefix; a `traceparent` without a Correlation-Id continues the trace of the client."""
    recorder = traces.ON
    if recorder is None or not request.path.startswith(f"{PREFIX}/") or request.path == ENDLESS:
        return await handler(request)
    began = time.time_ns()
    caller = caller_of(request.headers.get("traceparent"))
    if caller is not None:
        request[CORRELATION] = caller[0]  # a Correlation-Id replaces it
    with scope() as opened:
        response = await handler(request)
    for span in opened.close(_span(request, response.status, opened, began, caller)):
        if recorder.wants(span.trace):
            recorder.record(span)
    return response


def _span(request: web.Request, status: int, opened: Scope, began: int, caller: tuple[str, int] | None) -> Span:
    correlation = request.get(CORRELATION)
    trace = trace_of(correlation) if correlation else new_trace()
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "unknown"
    own = Span(f"{request.method} {route}", "server", trace, opened.id, began=began, ended=time.time_ns())
    own.attributes = {
        "http.request.method": request.method,
        "http.route": route,
        "http.response.status_code": status,
        "url.path": request.path,
        **({"messaging.message.conversation_id": correlation} if correlation else {}),
    }
    if caller is not None and int(caller[0], 16) == trace:
        own.parent = caller[1]
    elif caller is not None:
        own.links = ((int(caller[0], 16), caller[1]),)
    if status >= 500:
        own.error = f"HTTP {status}"
    return own
