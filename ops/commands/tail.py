"""`fulfillment tail`: messages as they come, of one topic or of all."""

from contextlib import suppress
from typing import Annotated

import typer

from ops.commands.options import Json, load_settings
from ops.errors import Misconfigured
from streams.topics import MESSAGE_TOPICS

TOPICS = tuple(topic.name for topic in MESSAGE_TOPICS)


def tail(
    topics: Annotated[list[str] | None, typer.Argument(help=f"of {', '.join(TOPICS)}; all unless named")] = None,
    type: Annotated[list[str] | None, typer.Option("--type", "-t", help="only of this type; more than once")] = None,
    key: Annotated[str | None, typer.Option("--key", "-k", help="only with this key, such as an order's id")] = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="begin with the oldest")] = False,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="begin with so many of the newest")] = 0,
    follow: Annotated[bool, typer.Option(help="go on with those that come")] = True,
    json: Json = False,
) -> None:
    """Show messages as they come; Ctrl-C ends it."""
    from ops.kafka.tailing import Wanted, as_json, as_text, messages

    settings = load_settings()
    if unknown := [name for name in topics or () if name not in TOPICS]:
        raise Misconfigured(f"There is no topic {unknown[0]}; there are {', '.join(TOPICS)}.")
    say = as_json if json else as_text
    wanted = Wanted(tuple(topics or TOPICS), frozenset(type or ()), key)
    with suppress(KeyboardInterrupt):
        for message in messages(settings, wanted, from_beginning=from_beginning, last=last, follow=follow):
            typer.echo(say(message))
