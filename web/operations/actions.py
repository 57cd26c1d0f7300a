"""The audit log over HTTP: operators' actions are recorded before they are done, and listed."""

from typing import Any

from aiohttp import web

from projections.mongo.actions import Action
from web.answers import Answer, page
from web.queries.handling import limit
from web.requests import identifier, principal_of
from web.services import SERVICES


async def record(request: web.Request, action: str, target: str, **details: Any) -> None:
    """Record what the sender of a request asks for."""
    about = {name: value for name, value in details.items() if value is not None}
    await request.app[SERVICES].actions.record(
        Action(principal_of(request), action, target, "http", {**about, "address": request.remote})
    )


async def list_actions(request: web.Request) -> Answer:
    """Answer with the actions of operators, newest first."""
    most, before = limit(request.query.get("limit")), request.query.get("cursor")
    if before is not None:
        before = identifier(before, "cursor")
    found = await request.app[SERVICES].actions.newest(most + 1, before)
    return page(found[:most], found[most - 1]["id"] if len(found) > most else None)
