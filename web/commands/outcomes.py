"""`GET /commands/{commandId}`: the outcome of a command."""

from collections.abc import Mapping
from time import time
from uuid import UUID

from aiohttp import web

from domain.errors import CommandIdReused
from projections.document import Document
from web.answers import Answer, answer
from web.documents.parameters import AGGREGATE, IDENTIFIER, in_query
from web.errors import Problem, missing
from web.operations.letters import parked_command
from web.requests import path_ids
from web.services import SERVICES

YOUNG_SECONDS, SKEW_SECONDS = 60.0, 5.0
CHOICES = [
    in_query("source", "The source of the command, if several sources used the id; this API is `web`.", IDENTIFIER),
    in_query("aggregate", "Which aggregate, if commands for an order and for a product have the id.", AGGREGATE),
    in_query("aggregateId", "The order or product, if commands for several have the id.", IDENTIFIER),
]
SAME = (
    "aggregate",
    "aggregateId",
    "type",
    "status",
    "code",
    "version",
    "events",
)  # equal when repeated
NAMES = tuple(choice["name"] for choice in CHOICES)


async def command_outcome(request: web.Request) -> Answer:
    """Answer with the outcome of a command.

    A command without an outcome is pending if it is parked, if this process accepted it, or if its id is a UUIDv7 so
    recent that another process may just have accepted it. Otherwise it is unknown.
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
    """Return whether an outcome is wanted; letters, and outcomes written by older code, have no source."""
    return all(outcome.get(name, value) == value for name, value in wanted.items())


def chosen(command_id: str, outcomes: list[Document]) -> Document:
    """Return the outcome of the command that an id means, with the `others`; raise a 409 if it is ambiguous.

    `outcomes` are those with the id, newest first. An id belongs to the first command of a source that an order or a
    product decided under it, so commands rejected as COMMAND_ID_REUSED come last. Among several sources, the id means
    the command that was sent through this API, if there is one.
    """
    named = [each for each in outcomes if "source" in each]
    outcomes = [each for each in outcomes if "source" in each or not _is_over(each, named)]
    first = [each for each in outcomes if each["code"] != CommandIdReused.code] or outcomes
    if len(first) > 1:
        first = [each for each in first if each.get("source") == "web"]
    if len(first) != 1:
        sentence = f"several commands have the id {command_id}; choose one with {', '.join(NAMES)}"
        raise Problem("AMBIGUOUS_COMMAND_ID", sentence, {"outcomes": outcomes})
    others = [each for each in outcomes if each is not first[0]]
    return {**first[0], "others": others} if others else first[0]


def _is_over(older: Document, named: list[Document]) -> bool:
    """Return whether a newer outcome replaces one that older code wrote: a repetition, or a later attempt."""
    compared = ("aggregate", "aggregateId") if older["retryable"] else SAME
    return any(all(older[name] == each[name] for name in compared) for each in named)


def made_lately(command_id: str) -> bool:
    """Return whether an id is a UUIDv7 of the last minute."""
    try:
        made = UUID(command_id)
    except ValueError:
        return False
    return made.version == 7 and -SKEW_SECONDS < time() - (made.int >> 80) / 1000 < YOUNG_SECONDS
