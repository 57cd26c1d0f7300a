"""`GET /projections`: the versions of the read models, which are live, and how far each has come."""

from aiohttp import web

from projections.mongo.overview import overview
from web.answers import page
from web.services import SERVICES


async def show_projections(request: web.Request) -> web.Response:
    """Answer all projections with their versions; `behind`: events fewer than the version that is furthest."""
    return page(await overview(request.app[SERVICES].versions.registry), None)
