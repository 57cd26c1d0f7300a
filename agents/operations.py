"""The pages of a worker: whether it is alive and ready, its lag, and its metrics."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from aiokafka.errors import KafkaError
from faust.types import TP
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.access.browsers import Browsers
from streams.access.denials import Denied
from streams.access.gate import Gate
from streams.access.principals import UNTOLD
from streams.runtime import disk
from streams.runtime.app import RoleApp
from streams.runtime.metrics import DENIED, tell_open
from streams.runtime.settings import Settings
from streams.runtime.webserver import denial

from .entries import entries_page
from .metrics import letters, update

OPEN = frozenset({"/livez", "/readyz"})  # without credentials
KNOWN = web.RequestKey("known", bool)  # whether the client may see details
LAG_SECONDS = 2.0  # time limit for Kafka's answer: Prometheus waits 5 s for all of /metrics


async def reasons(app: RoleApp) -> list[str]:
    """Return why the worker is not ready; an empty list when it is."""
    consumer = app.consumer
    found = [*consumer.progress.stopped.values(), *app.open_transactions.sentences]
    found += [f"Kafka cannot read {tp.topic}/{tp.partition}, {error}: see its log" for tp, error in _refused(consumer)]
    if app.waiting_for:
        found.append(app.waiting_for)
    elif not await consumer.answered():
        found.append(consumer.why_unanswered)
    if not consumer.prepared:
        found.append("partitions are being assigned or restored")
    if found and (full := disk.full(app.settings.data)):  # a full disk may be the cause
        found.append(full)
    return found


def _refused(consumer: Any) -> list[tuple[TP, str]]:
    """Return the assigned partitions that the broker cannot read, and its error."""
    return [(tp, error) for tp, error in sorted(dict(consumer.refused).items()) if tp in consumer.progress.handed]


async def known_lag(app: RoleApp) -> Mapping[TP, int]:
    """Return the lag of each partition; nothing while Kafka does not answer, or before the lag is known."""
    try:
        async with asyncio.timeout(LAG_SECONDS):
            return await app.consumer.lag() if app.consumer.prepared else {}
    except (TimeoutError, KafkaError):
        return {}


def only_allowed(settings: Settings) -> Middleware:
    """Return a layer that refuses pages of other sites and, except on `OPEN`, clients that may not read."""
    browsers, gate = Browsers(settings), Gate(settings)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            browsers.refuse_foreign(request.method, request.headers)
            if request.path in OPEN:
                request[KNOWN] = (known := await gate.known(request)) is not None and known.may("read")
            else:
                (await gate.principal_of(request)).require("read")
        except Denied as denied:
            DENIED.labels(denied.code).inc()
            return denial(denied)
        return await handler(request)

    return check


def pages(app: RoleApp) -> None:
    """Serve /livez and /readyz on the worker's port, and /lag and /metrics, which need credentials if the API does."""
    app.web.web_app.middlewares.append(only_allowed(app.settings))
    entries_page(app)

    @app.page("/livez")
    async def livez(self: Any, request: Any) -> Any:
        return self.json({"live": True})

    @app.page("/readyz")
    async def readyz(self: Any, request: Any) -> Any:
        found = await reasons(app)
        if not request[KNOWN]:
            told = {"ready": not found, "reasons": [UNTOLD] if found else []}
            return self.json(told, status=503 if found else 200)
        partitions: dict[str, list[int]] = {}
        for tp in sorted(app.consumer.progress.handed if app.consumer.prepared else ()):
            partitions.setdefault(tp.topic, []).append(tp.partition)
        answer = {"ready": not found, "reasons": found, "partitions": partitions, "parked": letters(app)}
        if held := app.open_transactions.open:
            answer["openTransactions"] = [one.as_json() for one in held]
        return self.json(answer, status=503 if found else 200)

    @app.page("/lag")
    async def lag(self: Any, request: Any) -> Any:
        lag, partitions = dict[str, int](), dict[str, list[int]]()
        try:
            found = await app.consumer.lag() if app.consumer.prepared else {}
        except KafkaError as error:  # a partition may be changing its leader
            return self.json({"error": "KAFKA_UNAVAILABLE", "message": f"the lag is unknown: {error}"}, status=503)
        for tp, count in sorted(found.items()):
            lag[tp.topic] = lag.get(tp.topic, 0) + count
            partitions.setdefault(tp.topic, []).append(tp.partition)
        return self.json({"group": app.conf.id, "lag": lag, "partitions": partitions})

    @app.page("/metrics")
    async def metrics(self: Any, request: Any) -> Any:
        ready, lag = not await reasons(app), await known_lag(app)
        update(app, ready, lag)
        tell_open(app.open_transactions.open)
        app.work.tell(lag)
        return self.bytes(generate_latest(), content_type=CONTENT_TYPE_LATEST.split(";")[0])
