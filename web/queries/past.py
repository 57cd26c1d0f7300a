"""The past: `?version=` and `?asOf=` of an order or product, and the commands behind the events of a history."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.message import MAX_VERSION
from projections.mongo.past import Moment, NotThen, Past
from projections.mongo.past_lists import PastLists
from projections.mongo.queries import Queries
from projections.mongo.sources import Shown
from web.errors import Problem, invalid
from web.requests import NOT_A_TIME, time_in, whole_number
from web.services import Services


def moment_of(query: Mapping[str, str]) -> Moment | None:
    """Return the moment that a request asks for; None for the present."""
    sent = query.get("version")
    if sent is not None and "asOf" in query:
        raise invalid({"asOf": "cannot be combined with version"})
    if sent is not None:
        if (version := whole_number(sent, 1, MAX_VERSION)) is not None:
            return Moment(version=version)
        raise invalid({"version": "must be a whole number from 1, such as the ETag of an answer"})
    if "asOf" not in query:
        return None
    as_of = time_in(query, "asOf")
    if as_of is None:
        raise invalid({"asOf": NOT_A_TIME})
    return Moment(as_of=as_of)


def lists_at(services: Services, query: Mapping[str, str]) -> Queries | PastLists:
    """Return the lists at the moment that a request asks for."""
    moment = moment_of(query)
    return services.queries if moment is None else PastLists(services.queries, str(moment.as_of))


async def past(services: Services, kind: str, model: str, identifier: str, moment: Moment) -> tuple[Shown, int] | None:
    """Return a past document and its version; None if it never existed. Raise a 404 if it did not exist then."""
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
        raise Problem("VERSION_NOT_FOUND", _sentence(name, identifier, moment, error), details) from None


def _sentence(name: str, identifier: str, moment: Moment, error: NotThen) -> str:
    if moment.version is None:
        return f"{name} {identifier} did not exist at {moment.as_of}; it was created at {error.first_at}"
    if moment.version > error.last:
        has = f"has been at {error.last} since {error.last_at}"
        return f"{name} {identifier} has no version {moment.version} yet: it {has}"
    return f"{name} {identifier} did not exist at version {moment.version}; it was created at {error.first_at}"


async def with_commands(services: Services, entries: Sequence[Any]) -> list[Any]:
    """Return the entries of a history with the types of the commands that caused them.

    The type is null if the outcome is not stored: after a week, and for commands of the process manager.
    """
    ids = sorted({entry["commandId"] for entry in entries})
    outcomes = await services.queries.outcomes(ids)
    types = {event["id"]: outcome["type"] for outcome in outcomes for event in outcome["events"]}
    return [{**entry, "commandType": types.get(entry["id"])} for entry in entries]
