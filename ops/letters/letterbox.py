"""Parked and refused messages: read from their topic, chosen, retried and discarded by commands.

NoLetters                      no letter matches the request
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from ops.errors import CommandFailed, Misconfigured
from ops.kafka import outcomes, records, sending
from ops.operators import principal
from parking.book import Entry, Key, Letterbook
from parking.letter import DeadLetter, letter_in
from streams.messages.envelope import new_id, now
from streams.runtime.settings import Settings
from streams.topics import DEAD_LETTERS
from streams.topology import AGGREGATES
from streams.wording import counted

Result = dict[str, Any]


class NoLetters(CommandFailed):
    """No letter matches the request."""

    exit_code = os.EX_DATAERR


class Request(NamedTuple):
    """A command about the letters of an order or product."""

    key: Key
    command: str
    data: dict[str, str]


def read(settings: Settings) -> Letterbook:
    """Return the letters on the topic."""
    book = Letterbook()
    for record, letter in decoded(records.read_all(settings, DEAD_LETTERS.name)):
        book.add(letter, record.partition, record.offset, record.timestamp)
    return book


def follow(settings: Settings) -> Iterator[DeadLetter]:
    """Yield new letters without end."""
    ends = records.ends(settings, DEAD_LETTERS.name)
    for batch in records.follow(settings, {DEAD_LETTERS.name: ends}):
        yield from (letter for _, letter in decoded(batch))


def decoded(batch: Iterable[Any]) -> Iterator[tuple[Any, DeadLetter]]:
    """Yield the dead letters in records of the topic, each with its record."""
    for record in batch:
        if (letter := letter_in(record.value)) is not None:
            yield record, letter


def read_whole(settings: Settings, entries: Sequence[Entry]) -> Iterator[DeadLetter]:
    """Yield complete letters from the topic, one in memory at a time, partition by partition and in order."""
    wanted = {(each.partition, each.offset) for each in entries}
    for number in sorted({partition for partition, _ in wanted}):
        offsets = [offset for partition, offset in wanted if partition == number]
        starts, ends = {number: min(offsets)}, {number: max(offsets) + 1}
        for batch in records.read(settings, DEAD_LETTERS.name, starts, ends):
            found = (each for each in batch if (number, each.offset) in wanted)
            yield from (letter for _, letter in decoded(found))


def waiting(book: Letterbook, topic: str | None) -> list[Key]:
    """Return the aggregates with parked commands, of the given command topic or of all."""
    names = [each.commands.name for each in AGGREGATES.values()]
    if topic is not None and topic not in names:
        raise Misconfigured(f"There is no command topic {topic!r}: set --topic to {' or '.join(names)}.")
    return [key for key in book.keys if topic in (None, AGGREGATES[key[0]].commands.name)]


def parked(book: Letterbook, aggregate_id: str | None, topic: str | None) -> list[tuple[Key, list[Entry]]]:
    """Return the parked letters of the order and the product with an id; NoLetters if there are none."""
    keys = [key for key in waiting(book, topic) if key[1] == aggregate_id]
    if not keys:
        raise NoLetters(f"No command of {aggregate_id} is parked. List all parked commands with `letters list`.")
    return [(key, book.letters(key)) for key in keys]


def about(book: Letterbook, key: str, topic: str | None) -> list[Entry]:
    """Return the parked letters of an order or product, and the messages with its key that were refused."""
    found = [letter for each in waiting(book, topic) if each[1] == key for letter in book.letters(each)]
    refused = [each for each in book.others if each.letter.kind == "invalid" and each.letter.key == key.encode()]
    if not found and not refused:
        raise NoLetters(f"There are no letters of {key}. List all letters with `letters list` and `--others`.")
    return [*refused, *found]


def retry(settings: Settings, keys: Sequence[Key], timeout: float) -> list[tuple[Key, Result]]:
    """Handle the parked commands of aggregates again; return how many were handled and are left, for each."""
    return _send(settings, [Request(key, "RetryLetters", {}) for key in keys], timeout)


def discard(
    settings: Settings, key: str, command: str | None, reason: str, timeout: float, *, whole: bool, topic: str | None
) -> tuple[int, int]:
    """Discard the first parked command of `key`, the given `command`, or the `whole` queue.

    Returns how many were discarded and how many are left.
    """
    if not reason.strip():
        raise Misconfigured("--reason is empty: give the reason why the command is discarded.")
    found = parked(read(settings), key, topic)
    if len(found) > 1:
        raise Misconfigured(f"{key} is the id of an order and of a product: choose one with --topic.")
    each, queue = found[0]
    ids = [str(entry.letter.command_id) for entry in queue]
    chosen = ids if whole else [command] if command else ids[:1]
    if not set(chosen) <= set(ids):
        raise NoLetters(f"Command {command} of {key} is not parked. List its letters with `letters show {key}`.")
    requests = [Request(each, "DiscardLetter", {"commandId": each_id, "reason": reason}) for each_id in chosen]
    results = [result for _, result in _send(settings, requests, timeout)]
    return sum(result["discarded"] for result in results), results[-1]["left"]


def _send(settings: Settings, requests: Sequence[Request], timeout: float) -> list[tuple[Key, Result]]:
    """Send commands to their aggregates and return the results in their outcomes."""
    if not requests:
        return []
    ends = records.ends(settings, outcomes.TOPIC)
    parcels = [_parcel(each) for each in requests]
    ids = sending.send(settings, parcels)
    answers = sending.wait_for(settings, parcels, ids, ends, timeout)
    if missing := answers.count(None):
        raise outcomes.NoOutcome(
            f"{counted(missing, 'command has', 'commands have')} no outcome after {timeout:g} s: "
            "check with `fulfillment status` that a worker reads all partitions."
        )
    results = [each.result or {} for each in answers if each is not None]
    return [(each.key, result) for each, result in zip(requests, results, strict=True)]


def _parcel(request: Request) -> sending.Parcel:
    aggregate, aggregate_id = request.key
    command_id = new_id()
    envelope = {
        "specversion": "1.0",
        "id": command_id,
        "type": request.command,
        "source": sending.SOURCE,
        "subject": aggregate_id,
        "time": now(),
        "principal": principal(),
        "data": request.data,
    }
    topic = AGGREGATES[aggregate].commands.name
    return sending.Parcel(topic, aggregate_id.encode(), orjson.dumps(envelope), command_id)
