"""`fulfillment letters`: what could not be handled, and what is to become of it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from ops.errors import CannotGoOn, Misconfigured
from ops.options import Json, load_settings
from streams.letterbook import COMMANDS, Key, Letterbook, described
from streams.letters import DeadLetter
from streams.settings import Settings
from streams.topics import DEAD_LETTERS

letters = typer.Typer(no_args_is_help=True, help="Messages that could not be handled, and the commands that wait.")
Aggregate = Annotated[str | None, typer.Argument(help="the order's or product's id")]
Topic = Annotated[str | None, typer.Option(help="only of order-commands, or inventory-commands")]
Wait = Annotated[float, typer.Option(help="seconds to wait for an outcome")]


class NoLetters(CannotGoOn):
    """Nothing waits there."""

    exit_code = os.EX_DATAERR


class StillParked(CannotGoOn):
    """Something could not be handled this time either."""


@letters.command("list")
def list_letters(
    topic: Topic = None,
    others: Annotated[bool, typer.Option("--others", help="the newest that do not wait: invalid, retried …")] = False,
    json: Json = False,
) -> None:
    """List the orders and products whose commands are parked, each with why the first one failed."""
    settings = load_settings()
    book = read(settings)
    if others:
        rows = [_line(letter) for letter in book.others if topic in (None, unprefixed(letter.topic, settings))]
    else:
        rows = [book.summary(key) for key in asked(book, topic)]
    if json:
        for row in rows:
            typer.echo(orjson.dumps(row))
    elif rows:
        Console().print(_table(rows))
    else:
        typer.echo("nothing is parked" if not others else "there are none")


@letters.command()
def show(key: Aggregate, topic: Topic = None, json: Json = False) -> None:
    """Show the letters of an order or product whole: the commands as they came, errors and stack traces."""
    for each in found(read(load_settings()), key, topic):
        for letter in each[1]:
            typer.echo(orjson.dumps(described(letter)) if json else _whole(letter))


@letters.command()
def follow(json: Json = False) -> None:
    """Show what comes, until Ctrl-C."""
    from ops import records

    settings = load_settings()
    ends = records.ends(settings, DEAD_LETTERS.name)
    with suppress(KeyboardInterrupt), records.Log(settings, DEAD_LETTERS.name, ends) as log, records.kafka(settings):
        while True:
            for letter in _decoded(log.batch()):
                typer.echo(orjson.dumps(described(letter)) if json else _sentence(letter))


@letters.command()
def retry(
    key: Aggregate = None,
    all_: Annotated[bool, typer.Option("--all", help="of all orders and products")] = False,
    topic: Topic = None,
    timeout: Wait = 30.0,
    json: Json = False,
) -> None:
    """Handle parked commands again, in their order, up to the first that fails; exits 1 when some are left."""
    if (key is None) != all_:
        raise Misconfigured("Give an id, or --all.")
    settings = load_settings()
    book = read(settings)
    keys = asked(book, topic) if all_ else [each for each, _ in found(book, key, topic)]
    outcomes = _ask(settings, [(each, "RetryLetters", {}) for each in keys], timeout)
    left = 0
    for each, result in outcomes:
        left += result["left"]
        failed = result.get("failed")
        why = f": {failed['commandId']} failed again: {failed['message']}" if failed else ""
        line = f"{each[0]} {each[1]}: {result['retried']} handled, {result['left']} left{why}"
        typer.echo(orjson.dumps({"aggregate": each[0], "aggregateId": each[1], **result}) if json else line)
    if left:
        raise StillParked(f"{left} letters are still parked.")


@letters.command()
def discard(
    key: Aggregate,
    reason: Annotated[str, typer.Option(help="why they are never to be handled; recorded, and told their senders")],
    command: Annotated[str | None, typer.Option(help="the id of one command; else the first that is parked")] = None,
    all_: Annotated[bool, typer.Option("--all", help="all that are parked of this order or product")] = False,
    topic: Topic = None,
    timeout: Wait = 30.0,
) -> None:
    """Give up a parked command; those behind it stay until `letters retry`."""
    if not reason.strip():
        raise Misconfigured("--reason must say why.")
    settings = load_settings()
    parked = found(read(settings), key, topic)
    if len(parked) > 1:
        raise Misconfigured(f"{key} is an order and a product: say which with --topic.")
    each, queue = parked[0]
    ids = [str(letter.command_id) for letter in queue]
    chosen = ids if all_ else [command] if command else ids[:1]
    if not set(chosen) <= set(ids):
        raise NoLetters(f"No letter of {key} is of command {command}.")
    asks = [(each, "DiscardLetter", {"commandId": each_id, "reason": reason}) for each_id in chosen]
    results = [result for _, result in _ask(settings, asks, timeout)]
    discarded, left = sum(result["discarded"] for result in results), results[-1]["left"]
    typer.echo(f"{discarded} discarded, {left} left" + (f"; go on with `letters retry {key}`" if left else ""))


# --- reading


def read(settings: Settings) -> Letterbook:
    """Return what the topic says."""
    from ops import records

    book = Letterbook()
    ends = records.ends(settings, DEAD_LETTERS.name)
    begins = records.begins(settings, DEAD_LETTERS.name)
    with records.Log(settings, DEAD_LETTERS.name, begins) as log, records.kafka(settings):
        for batch in log.upto(ends):
            for letter in _decoded(batch):
                book.add(letter)
    return book


def _decoded(records: Any) -> Iterator[DeadLetter]:
    for record in records:
        with suppress(ValueError, KeyError, TypeError):  # none of ours
            yield DeadLetter.decode(record.value())


def asked(book: Letterbook, topic: str | None) -> list[Key]:
    """Return the aggregates whose commands wait, of `topic` or of all."""
    if topic is not None and topic not in (each.name for each in COMMANDS.values()):
        raise Misconfigured(f"--topic is {' or '.join(each.name for each in COMMANDS.values())}, not {topic}.")
    return [key for key in book.keys if topic in (None, COMMANDS[key[0]].name)]


def found(book: Letterbook, aggregate_id: str | None, topic: str | None) -> list[tuple[Key, list[DeadLetter]]]:
    """Return the letters of the order or the product, or of both, with an id; NoLetters when there are none."""
    keys = [key for key in asked(book, topic) if key[1] == aggregate_id]
    if not keys:
        raise NoLetters(f"Nothing of {aggregate_id} is parked.")
    return [(key, book.letters(key)) for key in keys]


def unprefixed(topic: str, settings: Settings) -> str:
    """Return a topic's name as we call it."""
    return topic.removeprefix(settings.prefix)


# --- asking


def _ask(
    settings: Settings, asks: list[tuple[Key, str, dict[str, str]]], timeout: float
) -> list[tuple[Key, dict[str, Any]]]:
    """Send commands about letters to their aggregates, and return what they came to."""
    from ops import outcomes, records, sending

    if not asks:
        return []
    ends = records.ends(settings, outcomes.TOPIC)
    ids = sending.send(settings, [_parcel(*each) for each in asks])
    answers = sending.wait_for(settings, ids, ends, timeout)
    if missing := len(ids) - len(answers):
        raise outcomes.NoOutcome(
            f"No outcome of {missing} commands within {timeout:g} s: does the worker run, all partitions of it?"
        )
    return [(key, answers[each].result or {}) for (key, _, _), each in zip(asks, ids, strict=True)]


def _parcel(key: Key, name: str, data: dict[str, str]) -> Any:
    from ops.sending import HERE, Parcel
    from streams.messages import new_id, now

    command_id = new_id()
    envelope = {"specversion": "1.0", "id": command_id, "type": name, "source": HERE, "subject": key[1], "time": now()}
    return Parcel(COMMANDS[key[0]].name, key[1].encode(), orjson.dumps({**envelope, "data": data}), command_id)


# --- showing


def _line(letter: DeadLetter) -> dict[str, Any]:
    names = ("kind", "topic", "partition", "offset", "key", "commandType", "commandId", "code", "message", "reason")
    data = letter.data
    return {"time": letter.time, **{name: data.get(name) for name in names}}


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(*(name for name in rows[0] if name != "topic"))
    for row in rows:
        table.add_row(*("" if value is None else str(value) for name, value in row.items() if name != "topic"))
    return table


def _sentence(letter: DeadLetter) -> str:
    where = f"{letter.topic}/{letter.partition}@{letter.offset}"
    what = " ".join(filter(None, (letter.command_type, letter.command_id)))
    why = f" ({letter.reason})" if letter.reason else ""
    return f"{letter.time}  {letter.kind:<9}  {where}  {what}  {letter.code}: {letter.message}{why}"


def _whole(letter: DeadLetter) -> str:
    data = described(letter)
    trace = data.pop("traceback", "")
    return orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + (f"\n{trace}" if trace else "")
