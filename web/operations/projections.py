"""`GET /projections`: the versions of the read models, which of them is live, and how far each one is."""

from aiohttp import web

from projections.mongo.overview import overview
from web.answers import Answer, page
from web.services import SERVICES


async def show_projections(request: web.Request) -> Answer:
    """Answer with all projections and their versions; `behind` counts the events that the furthest version is ahead."""
    return page(await overview(request.app[SERVICES].versions.registry), None)
