"""Checks the sender of a request, and the scope that its route needs."""

from aiohttp import web

from streams.access.gate import Gate

from .requests import PRINCIPAL
from .scopes import scopes_of

GATE = web.AppKey("gate", Gate)


async def authorize(request: web.Request) -> None:
    """Remember the sender of a request; raise `Denied` if they may not use its route."""
    gate = request.app[GATE]
    principal = request[PRINCIPAL] = await gate.principal_of(request)
    if not gate.is_open and (resource := request.match_info.route.resource) is not None:
        principal.require(*scopes_of(request.method, resource.canonical))
