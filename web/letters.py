"""Parked letters over HTTP: which there are, and what is to become of them."""

import asyncio
from typing import Any

from aiohttp import web

from domain.message import Command
from streams.gateway import GatewayUnavailable
from streams.letterbook import COMMANDS, Key, Letterbook, described
from streams.letters import DiscardLetter, RetryLetters
from streams.messages import CommandMessage, new_id, now
from streams.spelling import unknown

from .answers import answer, page
from .commands import validated
from .decided import PREFIX
from .errors import invalid, missing, rejected
from .queries import limit
from .requests import CORRELATION, Preference, identifier, json_body
from .services import SERVICES
from .submit import submit

AGED_SECONDS = 1.0  # how old the letters may be that a command is looked up in
LOOKUP_SECONDS = 2.0  # and how long that may take
MOST_NAMED = 10  # unknown fields


def install(application: web.Application) -> None:
    """Give `application` the paths below `/letters`."""
    one = f"{PREFIX}/letters/{{aggregate}}/{{key}}"
    application.router.add_get(f"{PREFIX}/letters", list_letters)
    application.router.add_get(one, show_letters)
    application.router.add_post(f"{one}/retry", retry_letters)
    application.router.add_post(f"{one}/discard", discard_letter)


async def list_letters(request: web.Request) -> web.Response:
    """Answer the aggregates whose commands wait; with `kind`, the newest letters of it."""
    book, query = await request.app[SERVICES].letters.book(), request.query
    most, kinds, aggregates = limit(query.get("limit")), query.getall("kind", []), query.getall("aggregate", COMMANDS)
    if kinds:
        if not_for_kinds := [name for name in ("cursor", "aggregate") if name in query]:
            raise invalid(dict.fromkeys(not_for_kinds, "is for parked letters; leave it out, or leave out kind"))
        return page([described(each) for each in reversed(book.others) if each.kind in kinds][:most], None)
    after = _cursor(query.get("cursor"))
    keys = [key for key in book.keys if key > after and key[0] in aggregates]
    shown = keys[:most]
    return page([book.summary(key) for key in shown], "/".join(shown[-1]) if len(keys) > most else None)


def _cursor(sent: str | None) -> tuple[str, str]:
    aggregate, slash, key = (sent or "/").partition("/")
    if not slash:
        raise invalid({"cursor": "must be nextCursor of an earlier answer"})
    return aggregate, key


async def show_letters(request: web.Request) -> web.Response:
    """Answer the letters of one order or product whole, in their order."""
    key, book = _key(request), await request.app[SERVICES].letters.book()
    return answer({**_parked(book, key), "items": [described(letter) for letter in book.letters(key)]})


async def parked_command(request: web.Request, command_id: str) -> dict[str, Any] | None:
    """Return why a command has no outcome: it is parked. None when it is not, or nobody can say."""
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            letter = (await request.app[SERVICES].letters.book(AGED_SECONDS)).of_command(command_id)
    except (GatewayUnavailable, TimeoutError):
        return None
    if letter is None:
        return None
    where = {"aggregate": letter.aggregate, "aggregateId": letter.aggregate_id, "type": letter.command_type}
    return {"status": "pending", "reason": "parked", **where, "code": letter.code, "message": letter.message}


async def retry_letters(request: web.Request) -> web.Response:
    """Let an aggregate handle its parked commands again, from the first to the first that fails."""
    key, (_, data) = _key(request), await json_body(request)
    if data:
        raise invalid({name: unknown("field", name, ()) for name in list(data)[:MOST_NAMED]})
    return await _ask(request, key, RetryLetters())


async def discard_letter(request: web.Request) -> web.Response:
    """Give up one parked command, the first if none is named."""
    key, (_, data) = _key(request), await json_body(request)
    if "commandId" not in data:
        data["commandId"] = _parked(await request.app[SERVICES].letters.book(), key)["commandId"]
    command: DiscardLetter = validated(DiscardLetter, data)
    if not command.reason.strip():
        raise invalid({"reason": "must say why"})
    return await _ask(request, key, command)


def _key(request: web.Request) -> Key:
    aggregate = request.match_info["aggregate"]
    if aggregate not in COMMANDS:
        raise invalid({"aggregate": f"must be {' or '.join(COMMANDS)}"})
    return aggregate, identifier(request.match_info["key"], "key")  # type: ignore[return-value]


def _parked(book: Letterbook, key: Key) -> dict[str, Any]:
    if key not in book.keys:
        raise missing("Letter", "/".join(key))
    return book.summary(key)


async def _ask(request: web.Request, key: Key, command: Command) -> web.Response:
    services, command_id = request.app[SERVICES], new_id()
    correlation = request.setdefault(CORRELATION, command_id)
    message = CommandMessage(command_id, key[1], command, now(), "web", correlation)
    preference = Preference.of(request.headers, services.settings.command_timeout)
    _, outcome = await submit(services, message, preference, COMMANDS[key[0]])
    data = {"aggregate": key[0], "aggregateId": key[1], "commandId": command_id}
    if outcome is None:
        return answer({**data, "status": "pending"}, 202, {"Location": f"{PREFIX}/commands/{command_id}"})
    if outcome.status == "rejected":
        raise rejected(outcome, command_id)
    return answer({**data, **(outcome.result or {})})
