"""What the dashboard asks for: counts by state, what happened lately, and how the pipeline does."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from projections.mongo.counts import counts
from projections.table import COMMANDS, INVENTORY, ORDERS
from streams.kafka.gateway import GatewayUnavailable
from streams.kafka.groups import Groups, Left, Place, places_of
from streams.runtime.settings import Role
from streams.topology import READING, TRANSACTIONAL, group_of
from web.answers import answer
from web.commands.answering import PREFIX
from web.documents.openapi import service_version
from web.services import SERVICES, Services

from .aged import Aged

COUNT_SECONDS, ASK_SECONDS = 1.0, 2.0
SUMMARY: web.AppKey[Aged[dict[str, Any]]] = web.AppKey("summary", Aged)
PIPELINE: web.AppKey[Aged[dict[str, Any]]] = web.AppKey("pipeline", Aged)


def install(application: web.Application, services: Services) -> None:
    """Give `application` the dashboard's own paths."""
    application[SUMMARY] = Aged(lambda: counts(services.queries), COUNT_SECONDS)
    application[PIPELINE] = Aged(lambda: pipeline(services), ASK_SECONDS)
    for path, handler in (("/summary", show_summary), ("/rates", show_rates), ("/pipeline", show_pipeline)):
        application.router.add_get(PREFIX + path, handler)


async def show_summary(request: web.Request) -> web.Response:
    """Answer how many orders and products are in which state, as of a moment ago."""
    return answer(await request.app[SUMMARY].get())


async def show_rates(request: web.Request) -> web.Response:
    """Answer what happened in the last quarter of an hour, in steps."""
    hub = request.app[SERVICES].sse
    await hub.started()
    return answer(hub.rates.as_json())


async def show_pipeline(request: web.Request) -> web.Response:
    """Answer every role's workers and lag, and what is parked."""
    return answer(await request.app[PIPELINE].get())


async def pipeline(services: Services) -> dict[str, Any]:
    """Return how the roles do, partition by partition; raises `GatewayUnavailable` when Kafka does not say."""
    places = {**places_of(services.settings, TRANSACTIONAL), **await _projected(services)}
    groups = Groups(services.settings)
    names = {role: group_of(role, services.settings) for role in set(places.values())}
    left, members, parked = await asyncio.gather(
        groups.left(list(places)), groups.members(list(names.values())), _parked(services)
    )
    roles = [_role(role, members.get(names[role], 0), places, left) for role in READING]
    settings = services.settings
    shown: dict[str, Any] = {"version": service_version(), "kafdrop": settings.kafdrop, "prefix": settings.prefix}
    return {"roles": roles, "parked": parked, "listeners": len(services.sse.listeners), **shown}


def _role(role: Any, members: int, places: Mapping[Place, Role], left: Mapping[Place, Left]) -> dict[str, Any]:
    lags: dict[str, list[int]] = {}
    for place in sorted(place for place, whose in places.items() if whose == role):
        lags.setdefault(place.topic, []).append(left[place].messages if place in left else 0)
    topics = [{"topic": topic, "lag": sum(counts), "byPartition": counts} for topic, counts in lags.items()]
    return {"role": role, "workers": members, "lag": sum(topic["lag"] for topic in topics), "topics": topics}


async def _projected(services: Services) -> dict[Place, Role]:
    """Return where the projector stands, by a read model of each topic: its progress is in MongoDB."""
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
    """Return how many aggregates have parked commands, and how many those are; None when nobody can say."""
    try:
        async with asyncio.timeout(5):
            book = await services.letters.book(ASK_SECONDS)
    except (GatewayUnavailable, TimeoutError):
        return None
    return {"aggregates": len(book.keys), "letters": book.parked}
