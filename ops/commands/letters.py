"""`fulfillment letters`."""

from contextlib import suppress
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.commands.auditing import record
from ops.commands.options import Json, load_settings
from ops.commands.tables import table
from ops.errors import CommandFailed, Misconfigured
from ops.letters import letterbox
from parking.book import Key, described
from parking.letter import DeadLetter
from streams.wording import counted

SHOWN = 10_000  # characters of a value that are printed without --json

letters = typer.Typer(no_args_is_help=True, help="List, retry and discard messages that could not be handled.")
Aggregate = Annotated[str | None, typer.Argument(help="Id of the order or product.")]
Topic = Annotated[str | None, typer.Option(help="Only this command topic: order-commands or inventory-commands.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for an outcome.")]


class StillParked(CommandFailed):
    """Some commands failed again."""


@letters.command("list")
def list_letters(
    topic: Topic = None,
    others: Annotated[
        bool, typer.Option("--others", help="List the newest letters that are not parked: invalid, retried and so on.")
    ] = False,
    json: Json = False,
) -> None:
    """List the orders and products whose commands are parked, with the error of the first command."""
    settings = load_settings()
    book = letterbox.read(settings)
    if others:
        named = None if topic is None else settings.named(topic)
        rows = [in_short(each.letter) for each in book.others if named in (None, each.letter.topic)]
    else:
        rows = [book.summary(key) for key in letterbox.waiting(book, topic)]
    if json:
        for row in rows:
            typer.echo(orjson.dumps(row))
    elif rows:
        Console().print(rows_table(rows))
    else:
        typer.echo("no other letters" if others else "no commands are parked")


@letters.command()
def show(
    key: Annotated[str, typer.Argument(help="Id of the order or product.")], topic: Topic = None, json: Json = False
) -> None:
    """Show the parked and refused messages of an order or product, with their errors and stack traces."""
    settings = load_settings()
    for letter in letterbox.read_whole(settings, letterbox.about(letterbox.read(settings), key, topic)):
        typer.echo(orjson.dumps(described(letter)) if json else in_full(letter))


@letters.command()
def follow(json: Json = False) -> None:
    """Show new letters until Ctrl-C."""
    with suppress(KeyboardInterrupt):
        for letter in letterbox.follow(load_settings()):
            typer.echo(orjson.dumps(described(letter)) if json else as_line(letter))


@letters.command()
def retry(
    key: Aggregate = None,
    all_: Annotated[bool, typer.Option("--all", help="Retry all orders and products.")] = False,
    topic: Topic = None,
    timeout: Wait = 30.0,
    json: Json = False,
) -> None:
    """Retry parked commands in order until one fails; exit with 1 if any are left."""
    if (key is None) != all_:
        raise Misconfigured("Give the id of an order or product, or --all.")
    settings = load_settings()
    book = letterbox.read(settings)
    keys = letterbox.waiting(book, topic) if all_ else [each for each, _ in letterbox.parked(book, key, topic)]
    for each in keys:
        record(settings, "retry letters", "/".join(each))
    left = 0
    for each, result in letterbox.retry(settings, keys, timeout):
        left += result["left"]
        if json:
            typer.echo(orjson.dumps({"aggregate": each[0], "aggregateId": each[1], **result}))
        else:
            typer.echo(_retried(each, result))
    if left:
        raise StillParked(
            f"{counted(left, 'command is', 'commands are')} still parked. "
            "Fix the bug that `letters show` reports, then retry."
        )


def _retried(key: Key, result: dict[str, Any]) -> str:
    failed = result.get("failed")
    why = f": {failed['commandId']} failed again: {failed['message']}" if failed else ""
    return f"{key[0]} {key[1]}: {result['retried']} handled, {result['left']} left{why}"


@letters.command()
def discard(
    key: Annotated[str, typer.Argument(help="Id of the order or product.")],
    reason: Annotated[
        str, typer.Option(help="Why the commands are discarded; kept with them and sent to their senders.")
    ],
    command: Annotated[str | None, typer.Option(help="Id of the command; by default the first parked command.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Discard all parked commands of the order or product.")] = False,
    topic: Topic = None,
    timeout: Wait = 30.0,
) -> None:
    """Discard a parked command; the commands after it stay parked until `letters retry`."""
    settings = load_settings()
    record(settings, "discard all letters" if all_ else "discard letter", key, commandId=command, reason=reason)
    discarded, left = letterbox.discard(settings, key, command, reason, timeout, whole=all_, topic=topic)
    next_step = f"; retry them with `fulfillment letters retry {key}`" if left else ""
    typer.echo(f"{discarded} discarded, {left} left{next_step}")


def in_short(letter: DeadLetter) -> dict[str, Any]:
    """Return the fields of a letter that a list shows."""
    names = ("kind", "topic", "partition", "offset", "key", "commandType", "commandId", "code", "message", "reason")
    data = letter.data
    return {"time": letter.time, **{name: data.get(name) for name in names}}


def rows_table(rows: list[dict[str, Any]]) -> Table:
    """Return rows as a table."""
    found = table(*(name for name in rows[0] if name != "topic"))
    for row in rows:
        found.add_row(*("" if value is None else escape(str(value)) for name, value in row.items() if name != "topic"))
    return found


def as_line(letter: DeadLetter) -> str:
    """Return a letter as one line of text."""
    at = f"{letter.topic}/{letter.partition}@{letter.offset}"
    what = " ".join(filter(None, (letter.command_type, letter.command_id)))
    why = f" ({letter.reason})" if letter.reason else ""
    return f"{letter.time}  {letter.kind:<9}  {at}  {what}  {letter.code}: {letter.message}{why}"


def in_full(letter: DeadLetter) -> str:
    """Return all of a letter: the original message, the error and the stack trace."""
    data = described(letter)
    trace = data.pop("traceback", "")
    for name in ("value", "valueBase64"):
        if len(text := data.get(name) or "") > SHOWN:
            data[name] = f"{text[:SHOWN]} … ({len(text):,} characters; use --json for all of them)"
    return orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + (f"\n{trace}" if trace else "")
