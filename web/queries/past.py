"""What was: `?version=` and `?asOf=` of one order or product, and the commands behind the events of a history."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.message import MAX_VERSION
from projections.mongo.past import Moment, NotThen, Past
from projections.mongo.sources import Shown
from web.errors import Problem, invalid
from web.requests import time, whole_number
from web.services import Services


def moment_of(query: Mapping[str, str]) -> Moment | None:
    """Return the moment a request asks for; None when it asks for today's."""
    sent = query.get("version")
    if sent is not None and "asOf" in query:
        raise invalid({"asOf": "give either version or asOf"})
    if sent is not None:
        if (version := whole_number(sent, 1, MAX_VERSION)) is not None:
            return Moment(version=version)
        raise invalid({"version": "must be a whole number from 1, as in the ETag of an answer"})
    if "asOf" not in query:
        return None
    as_of = time(query, "asOf")
    if as_of is None:
        raise invalid({"asOf": "must be a time like 2026-11-23T10:00:00.000Z"})
    return Moment(as_of=as_of)


async def past(services: Services, kind: str, model: str, identifier: str, moment: Moment) -> tuple[Shown, int] | None:
    """Return a document as it was and its version; None when there never was one, and a 404 when not at that moment."""
    try:
        return await Past(services.queries).show(model, identifier, moment)
    except NotThen as error:
        name = kind.lower()
        details = {
            f"{name}Id": identifier,
            "firstAt": error.first_at,
            "version": error.last,
            "updatedAt": error.last_at,
        }
        raise Problem(404, "VERSION_NOT_FOUND", _sentence(name, identifier, moment, error), details) from None


def _sentence(name: str, identifier: str, moment: Moment, error: NotThen) -> str:
    if moment.version is None:
        return f"there was no {name} {identifier} at {moment.as_of}: it began at {error.first_at}"
    if moment.version > error.last:
        return f"{name} {identifier} is at version {error.last} since {error.last_at}, not yet at {moment.version}"
    return f"at version {moment.version} there was no {name} {identifier} yet: it began at {error.first_at}"


async def with_commands(services: Services, entries: Sequence[Any]) -> list[Any]:
    """Return entries of a history with the type of the command behind each.

    It is null where no outcome is kept: after a week, and of commands that nobody waits for (the process manager's).
    """
    ids = sorted({entry["commandId"] for entry in entries})
    outcomes = await services.queries.outcomes(ids)
    types = {event["id"]: outcome["type"] for outcome in outcomes for event in outcome["events"]}
    return [{**entry, "commandType": types.get(entry["id"])} for entry in entries]
