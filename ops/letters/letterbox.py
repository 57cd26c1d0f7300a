"""What `fulfillment letters` works with: the letterbook read from Kafka, commands about letters, and how they look.

NoLetters                      nothing waits there
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from rich.markup import escape
from rich.table import Table

from ops.commands.tables import whole
from ops.errors import CommandFailed, Misconfigured
from parking.book import Entry, Key, Letterbook, described
from parking.letter import DeadLetter, letter_in
from streams.runtime.settings import Settings
from streams.topics import DEAD_LETTERS
from streams.topology import AGGREGATES

SHOWN = 10_000  # characters of a value that a person gets to see


class NoLetters(CommandFailed):
    """Nothing waits there."""

    exit_code = os.EX_DATAERR


def read(settings: Settings) -> Letterbook:
    """Return what the topic says."""
    from ops.kafka import records

    book = Letterbook()
    ends = records.ends(settings, DEAD_LETTERS.name)
    begins = records.begins(settings, DEAD_LETTERS.name)
    with records.Log(settings, DEAD_LETTERS.name, begins) as log, records.kafka(settings):
        for batch in log.upto(ends):
            for record, letter in decoded(batch):
                book.add(letter, record.partition, record.offset, record.timestamp)
    return book


def decoded(records: Any) -> Iterator[tuple[Any, DeadLetter]]:
    """Yield the dead letters in records of the topic, each with its record."""
    for record in records:
        if (letter := letter_in(record.value)) is not None:
            yield record, letter


def read_whole(settings: Settings, entries: Sequence[Entry]) -> Iterator[DeadLetter]:
    """Yield letters as they are on the topic, one in memory at a time: partition by partition, in their order there."""
    from ops.kafka import records

    wanted = {(each.partition, each.offset) for each in entries}
    for number in sorted({partition for partition, _ in wanted}):
        offsets = [offset for partition, offset in wanted if partition == number]
        with records.Log(settings, DEAD_LETTERS.name, {number: min(offsets)}) as log, records.kafka(settings):
            for batch in log.upto({number: max(offsets) + 1}):
                found = (each for each in batch if (number, each.offset) in wanted)
                yield from (letter for _, letter in decoded(found))


def asked(book: Letterbook, topic: str | None) -> list[Key]:
    """Return the aggregates whose commands wait, of `topic` or of all."""
    names = [each.commands.name for each in AGGREGATES.values()]
    if topic is not None and topic not in names:
        raise Misconfigured(f"--topic is {' or '.join(names)}, not {topic}.")
    return [key for key in book.keys if topic in (None, AGGREGATES[key[0]].commands.name)]


def found(book: Letterbook, aggregate_id: str | None, topic: str | None) -> list[tuple[Key, list[Entry]]]:
    """Return the letters of the order or the product, or of both, with an id; NoLetters when there are none."""
    keys = [key for key in asked(book, topic) if key[1] == aggregate_id]
    if not keys:
        raise NoLetters(f"Nothing of {aggregate_id} is parked.")
    return [(key, book.letters(key)) for key in keys]


def about(book: Letterbook, key: str, topic: str | None) -> list[Entry]:
    """Return the parked letters of an order or product, and those that were refused under its key."""
    parked = [letter for each in asked(book, topic) if each[1] == key for letter in book.letters(each)]
    refused = [each for each in book.others if each.letter.kind == "invalid" and each.letter.key == key.encode()]
    if not parked and not refused:
        raise NoLetters(f"There are no letters of {key}.")
    return [*refused, *parked]


def ask(
    settings: Settings, asks: list[tuple[Key, str, dict[str, str]]], timeout: float
) -> list[tuple[Key, dict[str, Any]]]:
    """Send commands about letters to their aggregates, and return what they came to."""
    from ops.commands import outcomes
    from ops.kafka import records, sending

    if not asks:
        return []
    ends = records.ends(settings, outcomes.TOPIC)
    parcels = [_parcel(*each) for each in asks]
    ids = sending.send(settings, parcels)
    answers = sending.wait_for(settings, parcels, ids, ends, timeout)
    if missing := answers.count(None):
        raise outcomes.NoOutcome(
            f"No outcome of {missing} commands within {timeout:g} s: does the worker run, all partitions of it?"
        )
    results = [each.result or {} for each in answers if each is not None]
    return [(key, result) for (key, _, _), result in zip(asks, results, strict=True)]


def _parcel(key: Key, name: str, data: dict[str, str]) -> Any:
    from ops.kafka.sending import HERE, Parcel
    from streams.messages.envelope import new_id, now

    command_id = new_id()
    envelope = {"specversion": "1.0", "id": command_id, "type": name, "source": HERE, "subject": key[1], "time": now()}
    return Parcel(
        AGGREGATES[key[0]].commands.name, key[1].encode(), orjson.dumps({**envelope, "data": data}), command_id
    )


def in_short(letter: DeadLetter) -> dict[str, Any]:
    """Return what a list says of a letter."""
    names = ("kind", "topic", "partition", "offset", "key", "commandType", "commandId", "code", "message", "reason")
    data = letter.data
    return {"time": letter.time, **{name: data.get(name) for name in names}}


def table(rows: list[dict[str, Any]]) -> Table:
    """Return rows for a person."""
    found = whole(*(name for name in rows[0] if name != "topic"))
    for row in rows:
        found.add_row(*("" if value is None else escape(str(value)) for name, value in row.items() if name != "topic"))
    return found


def sentence(letter: DeadLetter) -> str:
    """Return a letter on a line."""
    where = f"{letter.topic}/{letter.partition}@{letter.offset}"
    what = " ".join(filter(None, (letter.command_type, letter.command_id)))
    why = f" ({letter.reason})" if letter.reason else ""
    return f"{letter.time}  {letter.kind:<9}  {where}  {what}  {letter.code}: {letter.message}{why}"


def in_full(letter: DeadLetter) -> str:
    """Return all of a letter: the message as it came, and the stack trace."""
    data = described(letter)
    trace = data.pop("traceback", "")
    for name in ("value", "valueBase64"):
        if len(said := data.get(name) or "") > SHOWN:
            data[name] = f"{said[:SHOWN]} … ({len(said):,} characters; all of them with --json)"
    return orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + (f"\n{trace}" if trace else "")
