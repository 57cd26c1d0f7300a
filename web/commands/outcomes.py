"""`GET /commands/{commandId}`: the outcome of a command."""

from collections.abc import Mapping
from time import time
from uuid import UUID

from aiohttp import web

from domain.errors import CommandIdReused
from projections.document import Document
from web.answers import answer
from web.documents.parameters import AGGREGATE, IDENTIFIER, in_query
from web.errors import Problem, missing
from web.operations.letters import parked_command
from web.requests import path_ids
from web.services import SERVICES

YOUNG_SECONDS, SKEW_SECONDS = 60.0, 5.0
CHOICES = [
    in_query("source", "The command's source, where several have used the id; `web` is this API's.", IDENTIFIER),
    in_query("aggregate", "Where commands for an order and for a product have the id.", AGGREGATE),
    in_query("aggregateId", "The order or product, where commands for several have the id.", IDENTIFIER),
]
SAME = ("aggregate", "aggregateId", "type", "status", "code", "version", "events")  # as in a repeated answer
NAMES = tuple(choice["name"] for choice in CHOICES)


async def command_outcome(request: web.Request) -> web.Response:
    """Answer the outcome of a command.

    Without an outcome it is pending: parked, as its aggregate's letters say; or on its way, if this process accepted
    it, or if the id is one of ours (UUIDv7) and so young that another process may just have. Others are unknown.
    """
    services = request.app[SERVICES]
    (_, command_id), *_ = path_ids(request)
    wanted = {name: request.query[name] for name in NAMES if name in request.query}
    found = [each for each in await services.queries.outcomes([command_id]) if _matches(each, wanted)]
    if found:
        return answer({"commandId": command_id, **chosen(command_id, found)})
    if (parked := await parked_command(request, command_id)) is not None and _matches(parked, wanted):
        return answer({"id": command_id, "commandId": command_id, **parked})
    if command_id in services.accepted or command_id.encode() in services.waiting or made_lately(command_id):
        return answer({"id": command_id, "commandId": command_id, "status": "pending"})
    raise missing("Command", command_id)


def _matches(outcome: Document, wanted: Mapping[str, str]) -> bool:
    """Return whether an outcome is of a wanted command; those of older code, and letters, do not say the source."""
    return all(outcome.get(name, value) == value for name, value in wanted.items())


def chosen(command_id: str, outcomes: list[Document]) -> Document:
    """Return the outcome to show of those an id has, newest first, with the `others`; 409 when none comes first.

    An id belongs to the first command of a source that an order or a product decided under it: what was refused as
    COMMAND_ID_REUSED comes behind. An id alone is one that this API has given, or that was sent through it, if there is
    such a command.
    """
    named = [each for each in outcomes if "source" in each]
    outcomes = [each for each in outcomes if "source" in each or not _is_over(each, named)]
    first = [each for each in outcomes if each["code"] != CommandIdReused.code] or outcomes
    if len(first) > 1:
        first = [each for each in first if each.get("source") == "web"]
    if len(first) != 1:
        sentence = f"several commands have the id {command_id}: say which with {', '.join(NAMES)}"
        raise Problem(409, "AMBIGUOUS_COMMAND_ID", sentence, {"outcomes": outcomes})
    others = [each for each in outcomes if each is not first[0]]
    return {**first[0], "others": others} if others else first[0]


def _is_over(older: Document, named: list[Document]) -> bool:
    """Return whether an outcome of older code was given again, or refused an attempt before the one named."""
    compared = ("aggregate", "aggregateId") if older["retryable"] else SAME
    return any(all(older[name] == each[name] for name in compared) for each in named)


def made_lately(command_id: str) -> bool:
    """Say whether an id is a UUIDv7 of the last minute."""
    try:
        made = UUID(command_id)
    except ValueError:
        return False
    return made.version == 7 and -SKEW_SECONDS < time() - (made.int >> 80) / 1000 < YOUNG_SECONDS
