"""`fulfillment letters`: what could not be handled, and what is to become of it."""

from contextlib import suppress
from typing import Annotated

import orjson
import typer
from rich.console import Console

from ops.commands.options import Json, load_settings
from ops.errors import CommandFailed, Misconfigured
from ops.letters import letterbox
from parking.book import described
from streams.topics import DEAD_LETTERS

letters = typer.Typer(no_args_is_help=True, help="Messages that could not be handled, and the commands that wait.")
Aggregate = Annotated[str | None, typer.Argument(help="the order's or product's id")]
Topic = Annotated[str | None, typer.Option(help="only of order-commands, or inventory-commands")]
Wait = Annotated[float, typer.Option(help="seconds to wait for an outcome")]


class StillParked(CommandFailed):
    """Something could not be handled this time either."""


@letters.command("list")
def list_letters(
    topic: Topic = None,
    others: Annotated[bool, typer.Option("--others", help="the newest that do not wait: invalid, retried …")] = False,
    json: Json = False,
) -> None:
    """List the orders and products whose commands are parked, each with why the first one failed."""
    settings = load_settings()
    book = letterbox.read(settings)
    if others:
        named = None if topic is None else settings.named(topic)
        rows = [letterbox.in_short(each.letter) for each in book.others if named in (None, each.letter.topic)]
    else:
        rows = [book.summary(key) for key in letterbox.asked(book, topic)]
    if json:
        for row in rows:
            typer.echo(orjson.dumps(row))
    elif rows:
        Console().print(letterbox.table(rows))
    else:
        typer.echo("nothing is parked" if not others else "there are none")


@letters.command()
def show(
    key: Annotated[str, typer.Argument(help="the order's or product's id")], topic: Topic = None, json: Json = False
) -> None:
    """Show the parked and refused messages of an order or product: as they came, with errors and stack traces."""
    settings = load_settings()
    for letter in letterbox.read_whole(settings, letterbox.about(letterbox.read(settings), key, topic)):
        typer.echo(orjson.dumps(described(letter)) if json else letterbox.in_full(letter))


@letters.command()
def follow(json: Json = False) -> None:
    """Show what comes, until Ctrl-C."""
    from ops.kafka import records

    settings = load_settings()
    ends = records.ends(settings, DEAD_LETTERS.name)
    with suppress(KeyboardInterrupt), records.Log(settings, DEAD_LETTERS.name, ends) as log, records.kafka(settings):
        while True:
            for _, letter in letterbox.decoded(log.batch()):
                typer.echo(orjson.dumps(described(letter)) if json else letterbox.sentence(letter))


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
    book = letterbox.read(settings)
    keys = letterbox.asked(book, topic) if all_ else [each for each, _ in letterbox.found(book, key, topic)]
    outcomes = letterbox.ask(settings, [(each, "RetryLetters", {}) for each in keys], timeout)
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
    parked = letterbox.found(letterbox.read(settings), key, topic)
    if len(parked) > 1:
        raise Misconfigured(f"{key} is an order and a product: say which with --topic.")
    each, queue = parked[0]
    ids = [str(each.letter.command_id) for each in queue]
    chosen = ids if all_ else [command] if command else ids[:1]
    if not set(chosen) <= set(ids):
        raise letterbox.NoLetters(f"No letter of {key} is of command {command}.")
    asks = [(each, "DiscardLetter", {"commandId": each_id, "reason": reason}) for each_id in chosen]
    results = [result for _, result in letterbox.ask(settings, asks, timeout)]
    discarded, left = sum(result["discarded"] for result in results), results[-1]["left"]
    typer.echo(f"{discarded} discarded, {left} left" + (f"; go on with `letters retry {key}`" if left else ""))
