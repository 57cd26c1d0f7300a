"""`fulfillment tail`."""

from contextlib import suppress
from typing import Annotated, Any

import orjson
import typer

from ops.commands.options import Json, load_settings
from ops.kafka.tailing import TOPICS, Message, messages, wanted


def tail(
    topics: Annotated[list[str] | None, typer.Argument(help=f"Topics to show; by default {', '.join(TOPICS)}.")] = None,
    type: Annotated[list[str] | None, typer.Option("--type", "-t", help="Only this message type; repeatable.")] = None,
    key: Annotated[str | None, typer.Option("--key", "-k", help="Only this key, for example an order id.")] = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Start with the oldest message.")] = False,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="Start with the last N messages.")] = 0,
    follow: Annotated[bool, typer.Option(help="Keep showing new messages until Ctrl-C.")] = True,
    json: Json = False,
) -> None:
    """Show messages of topics as they arrive."""
    settings, chosen = load_settings(), wanted(topics or (), type or (), key)
    show = as_json if json else as_text
    with suppress(KeyboardInterrupt):
        for message in messages(settings, chosen, from_beginning=from_beginning, last=last, follow=follow):
            typer.echo(show(message))


def as_json(message: Message) -> str:
    """Return a message as one line of JSON."""
    return orjson.dumps(message._asdict()).decode()


def as_text(message: Message) -> str:
    """Return a message as text: its position and type, and its data on the next line."""
    envelope = message.value if isinstance(message.value, dict) else {}
    head = [message.time, f"{message.topic}/{message.partition}@{message.offset}", _readable(message.key or "(no key)")]
    head.append(typer.style(_readable(message.type or "(no type)"), bold=True, fg=_colour(message)))
    if "sequence" in envelope:
        head.append(f"version {envelope['sequence']}")
    return f"{'  '.join(head)}\n    {_readable(envelope.get('data', message.value))}"


def _readable(value: Any) -> str:
    """Return a value as one line of JSON, with control characters escaped so that the terminal does not run them."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)


def _colour(message: Message) -> str:
    if message.type in ("CommandRejected", "DeadLetter"):
        return "red"
    return "cyan" if "commands" in message.topic else "green"
