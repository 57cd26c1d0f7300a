"""`GET /commands/{commandId}`: what became of a command."""

from time import time
from uuid import UUID

from aiohttp import web

from .answers import answer
from .errors import missing
from .letters import parked_command
from .requests import path_ids
from .services import SERVICES

YOUNG_SECONDS, SKEW_SECONDS = 60.0, 5.0


async def command_outcome(request: web.Request) -> web.Response:
    """Answer what became of a command.

    Without an outcome it is pending: parked, as its aggregate's letters say; or on its way, if this process accepted
    it, or if the id is one of ours (UUIDv7) and so young that another process may just have. Others are unknown.
    """
    services = request.app[SERVICES]
    (_, command_id), *_ = path_ids(request)
    if documents := await services.queries.find_many("commands", [command_id]):
        return answer({"commandId": command_id, **documents[0]})
    if (parked := await parked_command(request, command_id)) is not None:
        return answer({"id": command_id, "commandId": command_id, **parked})
    if command_id in services.accepted or command_id.encode() in services.waiting or made_lately(command_id):
        return answer({"id": command_id, "commandId": command_id, "status": "pending"})
    raise missing("Command", command_id)


def made_lately(command_id: str) -> bool:
    """Say whether an id is a UUIDv7 of the last minute."""
    try:
        made = UUID(command_id)
    except ValueError:
        return False
    return made.version == 7 and -SKEW_SECONDS < time() - (made.int >> 80) / 1000 < YOUNG_SECONDS
