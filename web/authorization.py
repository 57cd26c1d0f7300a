"""Who sent a request, and whether its route is theirs to use."""

from aiohttp import web

from streams.access.gate import Gate

from .requests import PRINCIPAL
from .scopes import scopes_of

GATE = web.AppKey("gate", Gate)


async def authorize(request: web.Request) -> None:
    """Remember who sent the request; raise `Denied` unless they may."""
    gate = request.app[GATE]
    principal = request[PRINCIPAL] = await gate.principal_of(request)
    if not gate.is_open and (resource := request.match_info.route.resource) is not None:
        principal.require(*scopes_of(request.method, resource.canonical))
