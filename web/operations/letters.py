"""Dead letters over HTTP: listing, retrying and discarding them."""

import asyncio
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import orjson
from aiohttp import web
from msgspec.structs import replace
from multidict import MultiMapping

from domain.message import Command
from parking.book import Entry, Key, Letterbook, described, listed, previewed
from parking.letter import DeadLetter, DiscardLetter, RetryLetters
from streams.kafka.gateway import GatewayUnavailable
from streams.messages.envelope import CommandMessage, Outcome, now
from streams.messages.spelling import unknown
from streams.topology import AGGREGATES
from web import PREFIX
from web.answers import Answer, answer, page
from web.commands.answering import pending, rejected
from web.commands.bodies import checked
from web.commands.earlier_tries import Tries
from web.commands.submitting import carry_out
from web.errors import invalid, missing
from web.preconditions import expected_version, valid_until
from web.queries.handling import limit
from web.requests import CORRELATION, identifier, json_body, json_object, principal_of
from web.services import SERVICES

from .actions import record

AGED_SECONDS = 1.0  # the maximum age of the letters in which a command is looked up
LOOKUP_SECONDS = 2.0  # the maximum duration of that
MOST_NAMED = 10  # unknown fields
PAGE_LETTERS, PAGE_BYTES = 100, 1 << 20  # limits of one page of letters
READ_LETTERS, READ_BYTES = 20, 16 << 20  # read before the size of the page is checked again
ITEM_BYTES = 4_096  # limit of a value, headers or traceback in a list; `href` has the complete letter
PLACE = re.compile(r"\d{1,9}-\d{1,18}", re.ASCII)  # a letter's id
NO_CURSOR = "must be the nextCursor of an earlier answer"


async def list_letters(request: web.Request) -> Answer:
    """Answer with the aggregates that have parked commands; with `kind`, with the newest letters of that kind."""
    book, query = await request.app[SERVICES].letters.book(), request.query
    most, kinds, aggregates = limit(query.get("limit")), query.getall("kind", []), query.getall("aggregate", AGGREGATES)
    if kinds:
        return _newest(book, kinds, query, most)
    after = _cursor(query.get("cursor"))
    keys = [key for key in book.keys if key > after and key[0] in aggregates]
    shown = keys[:most]
    return page([book.summary(key) for key in shown], "/".join(shown[-1]) if len(keys) > most else None)


def _newest(book: Letterbook, kinds: list[str], query: MultiMapping[str], most: int) -> Answer:
    before, aggregates = _numbers(query.get("cursor"), 3), query.getall("aggregate", [])
    found = [each for each in book.others if each.letter.kind in kinds and (not before or each.order < before)]
    if aggregates:
        found = [each for each in found if each.letter.aggregate in aggregates]
    shown = [{**listed(each), "href": _href(each)} for each in found[:most]]
    return page(shown, ".".join(map(str, found[most - 1].order)) if len(found) > most else None)


def _href(entry: Entry) -> str:
    return f"{PREFIX}/letters/{entry.id}"


def _cursor(sent: str | None) -> tuple[str, str]:
    aggregate, slash, key = (sent or "/").partition("/")
    if not slash:
        raise invalid({"cursor": NO_CURSOR})
    return aggregate, key


def _numbers(sent: str | None, count: int) -> tuple[int, ...]:
    """Return the numbers of a cursor; an empty tuple without one."""
    if sent is None:
        return ()
    if re.fullmatch(r"-?\d{1,18}" + r"\.\d{1,18}" * (count - 1), sent, re.ASCII) is None:
        raise invalid({"cursor": NO_CURSOR})
    return tuple(map(int, sent.split(".")))


async def show_letters(request: web.Request) -> Answer:
    """Answer with the letters of one order or product, oldest first, and with the paths of large values.

    A page ends early once it has `PAGE_BYTES`.
    """
    key, reader = _key(request), request.app[SERVICES].letters
    book, most = await reader.book(), limit(request.query.get("limit", str(PAGE_LETTERS)))
    summary, after = _parked(book, key), _numbers(request.query.get("cursor"), 1)
    queue = [each for each in book.letters(key) if not after or each.letter.offset > after[0]]
    items, size = list[dict[str, Any]](), 0
    for part in _parts(queue[:most]):
        found = await reader.whole([(each.partition, each.offset) for each in part], by_reference)
        items += [_item(*each) for each in zip(part, found, strict=True)]
        size += sum(len(orjson.dumps(item)) for item in items[-len(part) :])
        if size > PAGE_BYTES:
            break
    more = len(items) < len(queue)
    cursor = str(queue[len(items) - 1].letter.offset) if more and items else None
    return answer({**summary, "items": items, "nextCursor": cursor})


def _parts(queue: list[Entry]) -> Iterator[list[Entry]]:
    """Yield groups of letters to read together, limited in size because they are all in memory for a moment."""
    part, size = list[Entry](), 0
    for entry in queue:
        part.append(entry)
        size += entry.value_bytes or 0
        if len(part) == READ_LETTERS or size > READ_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _item(entry: Entry, found: dict[str, Any] | None) -> dict[str, Any]:
    """Return an item of `show_letters`; the summary alone if the topic no longer has the letter."""
    return {"id": entry.id, **(found or listed(entry)), "valueBytes": entry.value_bytes, "href": _href(entry)}


def by_reference(letter: DeadLetter) -> dict[str, Any]:
    """Return a letter for a list, with large parts shortened or left out."""
    data = described(letter)
    if letter.value is not None and len(letter.value) > ITEM_BYTES:
        data = previewed(data, letter.value)
    if len(orjson.dumps(data["headers"])) > ITEM_BYTES:
        del data["headers"]
    for name in ("message", "traceback"):
        if len(data.get(name) or "") > ITEM_BYTES:
            data[name] = f"{data[name][: ITEM_BYTES // 2]} … {data[name][-ITEM_BYTES // 2 :]}"
    return data


async def show_letter(request: web.Request) -> Answer:
    """Answer with a complete letter: the message as received, with its headers, and the traceback."""
    letter_id = request.match_info["letterId"]
    if PLACE.fullmatch(letter_id) is None:
        raise missing("Letter", identifier(letter_id, "letterId"))
    partition, offset = map(int, letter_id.split("-"))
    (found,) = await request.app[SERVICES].letters.whole([(partition, offset)], described)
    if found is None:
        raise missing("Letter", letter_id)
    return answer({"id": letter_id, **found})


async def parked_command(request: web.Request, command_id: str) -> dict[str, Any] | None:
    """Return the pending outcome of a parked command; None if it is not parked, or the letters cannot be read."""
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            letter = (await request.app[SERVICES].letters.book(AGED_SECONDS)).of_command(command_id)
    except (GatewayUnavailable, TimeoutError):
        return None
    if letter is None:
        return None
    where = {"aggregate": letter.aggregate, "aggregateId": letter.aggregate_id, "type": letter.command_type}
    return {"status": "pending", "reason": "parked", **where, "code": letter.code, "message": letter.message}


async def retry_letters(request: web.Request) -> Answer:
    """Retry the parked commands of an aggregate, oldest first, up to the first that fails."""
    key, body = _key(request), await json_body(request)
    data = json_object(body)
    if data:
        raise invalid({name: unknown("field", name, ()) for name in list(data)[:MOST_NAMED]})
    return await _ask(request, key, body, None, lambda _, __: RetryLetters())


async def discard_letter(request: web.Request) -> Answer:
    """Discard one parked command, by default the first; an Idempotency-Key remembers which one."""
    key, body = _key(request), await json_body(request)
    data = json_object(body)
    book = await request.app[SERVICES].letters.book() if "commandId" not in data else None
    first = book.summary(key)["commandId"] if book is not None and key in book.keys else None
    asked = checked(DiscardLetter, {"commandId": first or "none", **data})
    if not asked.reason.strip():
        raise invalid({"reason": "must not be empty"})

    def discard(command_id: str, tries: Tries) -> DiscardLetter:
        if book is not None and first is None and not tries.possible:
            raise missing("Letter", "/".join(key))
        return replace(asked, command_id=command_id)

    return await _ask(request, key, body, asked.command_id if book is None else first, discard, asked.reason)


def _key(request: web.Request) -> Key:
    aggregate = request.match_info["aggregate"]
    if aggregate not in AGGREGATES:
        raise invalid({"aggregate": f"must be {' or '.join(AGGREGATES)}"})
    return aggregate, identifier(request.match_info["key"], "key")  # type: ignore[return-value]


def _parked(book: Letterbook, key: Key) -> dict[str, Any]:
    if key not in book:
        raise missing("Letter", "/".join(key))
    return book.summary(key)


async def _ask(
    request: web.Request,
    key: Key,
    body: bytes,
    letter: str | None,
    command: Callable[[str, Tries], Command],
    reason: str | None = None,
) -> Answer:
    """Send the command that `command` makes about the letter with the id `letter`; None: the first."""
    action = "retry letters" if reason is None else "discard letter"
    if expected_version(request.headers) is not None:
        raise invalid({"If-Match": "is not supported here, because letters have no version"})
    if valid_until(request.headers) is not None:
        raise invalid({"Valid-Until": "is not supported here: a retry or discard does not expire"})

    def message(command_id: str, letter_id: str, tries: Tries) -> CommandMessage:
        correlation = request.setdefault(CORRELATION, command_id)
        return CommandMessage(
            command_id, key[1], command(letter_id, tries), now(), "web", correlation, principal=principal_of(request)
        )

    await record(request, action, "/".join(key), commandId=letter, reason=reason)
    return await carry_out(request, body, letter, message, partial(_handled, key), AGGREGATES[key[0]].commands)


def _handled(key: Key, message: CommandMessage, outcome: Outcome | None) -> Answer:
    data = {"aggregate": key[0], "aggregateId": key[1], "commandId": message.id}
    if outcome is None:
        return pending(message, data)
    if outcome.status == "rejected":
        return rejected(outcome)
    return answer({**data, **(outcome.result or {})})


ROUTES = (  # below the prefix
    ("GET", "/letters", list_letters),
    ("GET", "/letters/{letterId}", show_letter),
    ("GET", "/letters/{aggregate}/{key}", show_letters),
    ("POST", "/letters/{aggregate}/{key}/retry", retry_letters),
    ("POST", "/letters/{aggregate}/{key}/discard", discard_letter),
)
