"""The data of the dashboard: counts by state, recent event rates, and the workers with their lag."""

import asyncio
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiohttp import web
from pymongo.errors import PyMongoError

from projections.mongo.counts import counts
from projections.mongo.queries import NotDeployed
from projections.table import COMMANDS, INVENTORY, ORDERS
from streams.kafka.gateway import GatewayUnavailable
from streams.kafka.groups import Groups, Left, Place, places_of
from streams.runtime.settings import Role
from streams.topology import READING, TRANSACTIONAL, group_of
from web.answers import Answer, answer
from web.documents.openapi import service_version
from web.services import SERVICES, Services

from .aged import Aged

COUNT_SECONDS, ASK_SECONDS, LATE_SECONDS = 1.0, 2.0, 2.0
SUMMARY: web.AppKey[Aged[dict[str, Any]]] = web.AppKey("summary", Aged)
PIPELINE: web.AppKey[Aged[dict[str, Any]]] = web.AppKey("pipeline", Aged)


def prepare(application: web.Application, services: Services) -> None:
    """Prepare the answers that several requests share."""
    application[SUMMARY] = Aged(lambda: counts(services.queries), COUNT_SECONDS)
    application[PIPELINE] = Aged(lambda: pipeline(services), ASK_SECONDS)


async def show_summary(request: web.Request) -> Answer:
    """Answer with the numbers of orders and products by state, at most some seconds old."""
    return answer(await request.app[SUMMARY].get())


async def late(request: web.Request) -> float:
    """Return the number of late orders; NaN if MongoDB does not answer soon."""
    with suppress(PyMongoError, NotDeployed, TimeoutError):
        async with asyncio.timeout(LATE_SECONDS):
            found = await request.app[SUMMARY].get()
            return float(found["orders"]["late"])
    return math.nan


async def show_rates(request: web.Request) -> Answer:
    """Answer with the event counts and latencies of the last 15 minutes, in steps."""
    hub = request.app[SERVICES].hub
    await hub.started()
    return answer(hub.rates.as_json())


async def show_pipeline(request: web.Request) -> Answer:
    """Answer with the workers and lag of every role, and the number of parked commands."""
    return answer(await request.app[PIPELINE].get())


ROUTES = (  # below the prefix
    ("GET", "/summary", show_summary),
    ("GET", "/rates", show_rates),
    ("GET", "/pipeline", show_pipeline),
)


async def pipeline(services: Services) -> dict[str, Any]:
    """Return the workers and lag of every role; raise `GatewayUnavailable` if Kafka does not answer."""
    places = {**places_of(services.settings, TRANSACTIONAL), **await _projected(services)}
    groups = Groups(services.settings)
    names = {role: group_of(role, services.settings) for role in set(places.values())}
    left, members, parked = await asyncio.gather(
        groups.left(list(places)), groups.members(list(names.values())), _parked(services)
    )
    roles = [_role(role, members.get(names[role], 0), places, left) for role in READING]
    settings = services.settings
    shown: dict[str, Any] = {"version": service_version(), "kafdrop": settings.kafdrop, "prefix": settings.prefix}
    return {"roles": roles, "parked": parked, "listeners": len(services.hub.listeners), **shown}


def _role(role: Any, members: int, places: Mapping[Place, Role], left: Mapping[Place, Left]) -> dict[str, Any]:
    lags: dict[str, list[int]] = {}
    for place in sorted(place for place, whose in places.items() if whose == role):
        lags.setdefault(place.topic, []).append(left[place].messages if place in left else 0)
    topics = [{"topic": topic, "lag": sum(counts), "byPartition": counts} for topic, counts in lags.items()]
    return {"role": role, "workers": members, "lag": sum(topic["lag"] for topic in topics), "topics": topics}


async def _projected(services: Services) -> dict[Place, Role]:
    """Return the position of the projector on each topic, from its progress in MongoDB."""
    settings = services.settings
    wanted = [
        (projection.collections[0], (settings.named(projection.topic.name), number))
        for projection in (ORDERS, INVENTORY, COMMANDS)
        for number in range(settings.partitions)
    ]
    reached = await asyncio.gather(*(services.queries.reached(name, at) for name, at in wanted))
    group = group_of("projector", settings)
    return {Place(group, *at, offset): "projector" for (_, at), offset in zip(wanted, reached, strict=True)}


async def _parked(services: Services) -> dict[str, int] | None:
    """Return the numbers of parked commands and of their aggregates; None if the dead letters cannot be read."""
    try:
        async with asyncio.timeout(5):
            book = await services.letters.book(ASK_SECONDS)
    except (GatewayUnavailable, TimeoutError):
        return None
    return {"aggregates": len(book.keys), "letters": book.parked}
