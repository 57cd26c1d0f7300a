"""What operators ask: does it live, is it ready, how does it do; and what there is."""

from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from projections.mongo.overview import measure
from streams.runtime.metrics import READY, tell_open
from web.answers import json_response
from web.commands.answering import PREFIX
from web.documents.pages import PAGES, sent
from web.metrics import LISTENERS
from web.services import SERVICES

OPEN_TO_ALL = frozenset({"/livez", "/readyz", "/health"})  # also without a token
VARY = {"Vary": "Accept"}
LINKS = {
    "orders": f"{PREFIX}/orders",
    "inventory": f"{PREFIX}/inventory",
    "workQueue": f"{PREFIX}/work-queue",
    "commands": f"{PREFIX}/commands",
    "letters": f"{PREFIX}/letters",
    "projections": f"{PREFIX}/projections",
    "openapi": "/openapi.json",
    "asyncapi": "/asyncapi.json",
    "apiDocs": "/api-docs",
    "redoc": "/redoc/",
    "asyncapiDocs": "/asyncapi",
    "ready": "/readyz",
    "live": "/livez",
    "metrics": "/metrics",
}


async def livez(request: web.Request) -> web.Response:
    """Answer that the process lives."""
    return json_response({"live": True})


async def readyz(request: web.Request) -> web.Response:
    """Answer whether the process can do its work, and why not."""
    services = request.app[SERVICES]
    reasons = await services.reasons()
    answer: dict[str, Any] = {"ready": not reasons, "reasons": reasons}
    if held := services.open_transactions():
        answer |= {
            "warnings": [one.sentence for one in held],
            "openTransactions": [one.as_json() for one in held],
        }
    return json_response(answer, 503 if reasons else 200)


async def health(request: web.Request) -> web.Response:
    """Answer as `/readyz` does, in the words of the system this one replaces."""
    reasons = await request.app[SERVICES].reasons()
    return json_response({"status": "DOWN" if reasons else "UP"}, 503 if reasons else 200)


async def metrics(request: web.Request) -> web.Response:
    """Answer Prometheus."""
    services = request.app[SERVICES]
    READY.set(not await services.reasons())
    tell_open(services.open_transactions())
    LISTENERS.set(len(services.sse.listeners))
    await measure(services.versions.registry)
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def index(request: web.Request) -> web.Response:
    """Answer what there is: the dashboard to a browser, links to anybody else."""
    if "text/html" in request.headers.get("Accept", ""):
        return sent(request, *PAGES["/"])
    return json_response({"success": True, "data": {"name": "Order fulfilment", "links": LINKS}}, headers=VARY)
