"""Probes and metrics for operators, and the index of the API."""

from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from projections.mongo.overview import measure
from streams.access.principals import UNTOLD
from streams.runtime.metrics import READY, tell_open
from web import PREFIX
from web.answers import Answer, answer
from web.documents.pages import PAGES, sent
from web.metrics import LATE, LISTENERS
from web.requests import is_known
from web.services import SERVICES

from .overview import late

OPEN_TO_ALL = frozenset({"/livez", "/readyz", "/health"})  # without a token
VARY = {"Vary": "Accept"}
LINKS = {
    "orders": f"{PREFIX}/orders",
    "inventory": f"{PREFIX}/inventory",
    "workQueue": f"{PREFIX}/work-queue",
    "commands": f"{PREFIX}/commands",
    "letters": f"{PREFIX}/letters",
    "webhooks": f"{PREFIX}/webhooks",
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


async def livez(request: web.Request) -> Answer:
    """Answer that the process runs."""
    return Answer({"live": True})


async def readyz(request: web.Request) -> Answer:
    """Answer whether the process is ready, and if not, why; strangers are told neither addresses nor names."""
    services = request.app[SERVICES]
    reasons = await services.reasons()
    found: dict[str, Any] = {"ready": not reasons, "reasons": reasons}
    if not is_known(request):
        found["reasons"] = dict.fromkeys(reasons, UNTOLD)
        return Answer(found, 503 if reasons else 200)
    if held := services.open_transactions():
        found |= {
            "warnings": [one.sentence for one in held],
            "openTransactions": [one.as_json() for one in held],
        }
    return Answer(found, 503 if reasons else 200)


async def health(request: web.Request) -> Answer:
    """Answer like `/readyz`, in the format of the previous system."""
    reasons = await request.app[SERVICES].reasons()
    return Answer({"status": "DOWN" if reasons else "UP"}, 503 if reasons else 200)


async def metrics(request: web.Request) -> web.Response:
    """Answer with the metrics for Prometheus."""
    services = request.app[SERVICES]
    READY.set(not await services.reasons())
    tell_open(services.open_transactions())
    LISTENERS.set(len(services.hub.listeners))
    await measure(services.versions.registry)
    LATE.set(await late(request))
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def index(request: web.Request) -> Answer | web.Response:
    """Answer a browser with the dashboard, and other clients with links."""
    if "text/html" in request.headers.get("Accept", ""):
        return sent(request, *PAGES["/"])
    return answer({"name": "Order fulfilment", "links": LINKS}, headers=VARY)


ROUTES = (
    ("/livez", livez),
    ("/readyz", readyz),
    ("/health", health),
    ("/metrics", metrics),
    ("/", index),
)
