"""`fulfillment transactions`: transactions that block our topics, and how to end them."""

import asyncio
import json as jsons
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import typer
from rich.console import Console

from ops.commands.options import Json, load_settings
from ops.errors import CommandFailed, Misconfigured, Unavailable
from streams.runtime.settings import Settings
from streams.topics import TOPICS

transactions = typer.Typer(
    no_args_is_help=True, help="Transactions of any producer that block our topics, and how to end them."
)
PLACE = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)/(?P<partition>[0-9]{1,9})")
ASK_SECONDS = 20.0


class NothingOpen(CommandFailed):
    """There is no transaction to end."""


@transactions.command("list")
def list_transactions(json: Json = False) -> None:
    """List the transactions that block our topics for longer than FULFILLMENT_OPEN_TRANSACTION; exits 1 if any."""
    found = asyncio.run(_found(load_settings()))
    if json:
        typer.echo(jsons.dumps([one.as_json() for one in found]))
    elif found:
        Console().print(_table(found))
    else:
        typer.echo("no transaction blocks a topic of this installation")
    raise typer.Exit(1 if found else 0)


@transactions.command()
def abort(
    place: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION", help="the blocked partition")],
    producer: Annotated[int | None, typer.Option(help="only the transaction of this producer id")] = None,
) -> None:
    """Abort the transactions that block TOPIC/PARTITION; a producer that still runs is fenced and must start again."""
    settings = load_settings()
    topic, partition = _place(settings, place)
    for line in asyncio.run(_abort(settings, topic, partition, producer)):
        typer.echo(line)


async def _found(settings: Settings, topic: str | None = None, partition: int | None = None) -> list[Any]:
    from streams.kafka.open_transactions import open_transactions
    from streams.kafka.transaction_watch import all_partitions

    asked = [(topic, partition)] if topic is not None and partition is not None else all_partitions(settings)
    async with _kafka(settings) as client:
        return await open_transactions(client, asked, settings.open_transaction)


async def _abort(settings: Settings, topic: str, partition: int, producer: int | None) -> list[str]:
    from streams.kafka.open_transactions import NotEnded, end_transaction

    found = await _found(settings, topic, partition)
    chosen = [one for one in found if producer in (None, one.producer_id)]
    if not chosen:
        others = f" of producer id {producer}" if producer is not None and found else ""
        raise NothingOpen(
            f"No transaction{others} has blocked {topic}/{partition} for longer than {settings.open_transaction:g} s."
        )
    said = []
    async with _kafka(settings) as client:
        for one in chosen:
            who = f"{one.transactional_id!r} (producer id {one.producer_id})"
            try:
                await end_transaction(client, settings, one)
            except NotEnded as error:
                raise Unavailable(f"Kafka did not abort the transaction of {who}: {error}.") from error
            said.append(f"aborted the transaction of {who} at {topic}/{partition}, offset {one.offset}")
    return said


def _place(settings: Settings, place: str) -> tuple[str, int]:
    if (found := PLACE.fullmatch(place)) is None:
        raise Misconfigured(f"TOPIC/PARTITION is such as order-commands/3, not {place}.")
    names = [settings.named(topic.name) for topic in TOPICS]
    name, number = found["topic"], int(found["partition"])
    topic = name if name in names else settings.named(name)
    if topic not in names:
        raise Misconfigured(f"There is no topic {name}: choose from {', '.join(names)}.")
    if number >= settings.partitions:
        raise Misconfigured(f"{topic} has partitions 0 to {settings.partitions - 1}.")
    return topic, number


@asynccontextmanager
async def _kafka(settings: Settings) -> AsyncIterator[Any]:
    from aiokafka.errors import KafkaError

    from streams.kafka.open_transactions import connected

    try:
        async with asyncio.timeout(2 * ASK_SECONDS), connected(settings) as client:
            yield client
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(f"Kafka at {settings.kafka} does not say which transactions are open: {error!r}.") from error


def _table(found: list[Any]) -> Any:
    from ops.commands.tables import whole

    table = whole("blocked", "transactional id", "producer id", "open for", "time-out", "to end it")
    for one in found:
        seconds = "" if one.seconds is None else f"{one.seconds:.0f} s"
        timeout = "hanging: none" if one.hanging else f"{one.timeout_seconds:.0f} s"
        at = f"{one.topic}/{one.partition}@{one.offset}"
        table.add_row(at, one.transactional_id or "unknown", str(one.producer_id), seconds, timeout, one.command)
    return table
