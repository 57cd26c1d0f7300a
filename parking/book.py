"""Which letters are parked, folded from `dead-letters`, for everybody who is not the worker that has them.

The workers' tables are the truth; the topic is told again of letters that wait long, before it forgets them.

A book keeps what lists say of a letter, some hundred bytes. Values, headers and stack traces may have megabytes each:
they stay on the topic, and are read from there, letter by letter, on request.
"""

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any

from msgspec.structs import replace

from parking.letter import DeadLetter
from streams.messages.envelope import Aggregate

Key = tuple[Aggregate, str]  # an aggregate
KEPT = 1_000  # letters that are not parked
WORDS, KEY_BYTES = 300, 1_000  # characters of a message or reason, and bytes of a key, that a book keeps
PREVIEW_BYTES = 500  # of a value that is not parked; a smaller one is kept whole
BACKLOG_MS = 60_000  # what was recorded later than this after its message came is as new as its record


@dataclass(frozen=True, slots=True)
class Entry:
    """A letter as the book has it: where its record is on `dead-letters`, and what is short of it."""

    partition: int
    offset: int
    moment: int  # Unix milliseconds, by which the newest is told
    letter: DeadLetter  # without headers and stack trace, and with the beginning of the value at most
    value_bytes: int | None

    @property
    def id(self) -> str:
        """The letter's id: where its record is."""
        return f"{self.partition}-{self.offset}"

    @property
    def order(self) -> tuple[int, int, int]:
        """What lists are sorted by, the oldest first."""
        return self.moment, self.partition, self.offset


class Letterbook:
    """The parked letters, aggregate by aggregate in their order, and the newest of all others."""

    def __init__(self) -> None:
        self._queues: dict[Key, dict[int, Entry]] = {}  # by offset: an aggregate's are of one partition
        self._commands: dict[str, list[Entry]] = {}  # by id: several commands may have the same one
        self._others: list[Entry] = []  # the newest last

    def add(self, letter: DeadLetter, partition: int, offset: int, recorded_ms: int) -> None:
        """Take in a record of `dead-letters`; those of one aggregate come in their order: they are on one partition."""
        entry = _entry(letter, partition, offset, recorded_ms)
        if letter.aggregate is None or letter.aggregate_id is None or letter.command_id is None:
            self._keep(entry)
            return
        key = letter.aggregate, letter.aggregate_id
        if letter.kind != "parked":
            self._keep(entry)
        if letter.kind in ("parked", "retried", "discarded"):
            self._remove(key, letter)
        if letter.kind == "parked":
            self._queues.setdefault(key, {})[letter.offset] = entry
            self._commands.setdefault(letter.command_id, []).append(entry)

    def _keep(self, entry: Entry) -> None:
        insort(self._others, entry, key=lambda each: each.order)
        if len(self._others) > KEPT:
            del self._others[0]

    def _remove(self, key: Key, letter: DeadLetter) -> None:
        """Forget the letter of the same record."""
        queue = self._queues.get(key, {})
        before = queue.pop(letter.offset, None)
        if not queue:
            self._queues.pop(key, None)
        if before is not None and (command_id := before.letter.command_id) is not None:
            same = self._commands[command_id]
            same.remove(before)
            if not same:
                del self._commands[command_id]

    @property
    def keys(self) -> list[Key]:
        """The aggregates whose commands wait, sorted."""
        return sorted(self._queues)

    @property
    def parked(self) -> int:
        """How many letters wait."""
        return sum(map(len, self._queues.values()))

    @property
    def others(self) -> list[Entry]:
        """The newest letters that do not wait, the newest first."""
        return self._others[::-1]

    def __contains__(self, key: Key) -> bool:
        return key in self._queues

    def letters(self, key: Key) -> list[Entry]:
        """Return an aggregate's letters, in the order they will be handled."""
        return sorted(self._queues.get(key, {}).values(), key=lambda each: each.letter.offset)  # all of one partition

    def of_command(self, command_id: str) -> DeadLetter | None:
        """Return the first letter that a command with this id is parked in, without its value."""
        return next((entry.letter for entry in self._commands.get(command_id, ())), None)

    def summary(self, key: Key) -> dict[str, Any]:
        """Return what is to be known of an aggregate whose commands wait: how many, and why the first does."""
        queue = self._queues[key].values()
        first = min(queue, key=lambda each: each.letter.offset).letter
        return {
            "aggregate": key[0],
            "aggregateId": key[1],
            "topic": first.topic,
            "letters": len(queue),
            "since": min(each.letter.time for each in queue),
            "commandId": first.command_id,
            "commandType": first.command_type,
            "code": first.code,
            "message": first.message,
            "attempts": first.attempts,
        }


def described(letter: DeadLetter) -> dict[str, Any]:
    """Return a letter whole, as JSON."""
    return {**letter.data, "time": letter.time, "attempts": letter.attempts}


def listed(entry: Entry) -> dict[str, Any]:
    """Return what a list says of a letter: a value that is large only begins, as `valuePreview`."""
    data, kept = described(entry.letter), entry.letter.value
    del data["headers"]
    if entry.value_bytes is not None and entry.value_bytes > len(kept or b""):
        data = previewed(data, kept or b"")
    return {"id": entry.id, **data, "valueBytes": entry.value_bytes}


def previewed(data: Mapping[str, Any], value: bytes) -> dict[str, Any]:
    """Return a letter's JSON with the beginning of its value, instead of the value."""
    rest = {name: said for name, said in data.items() if name not in ("value", "valueBase64")}
    return {**rest, "valuePreview": value[:PREVIEW_BYTES].decode(errors="replace")}


def _entry(letter: DeadLetter, partition: int, offset: int, recorded_ms: int) -> Entry:
    value = letter.value
    brief = replace(
        letter,
        kind=intern(letter.kind),  # type: ignore[arg-type]
        topic=intern(letter.topic),
        code=intern(letter.code),
        command_type=None if letter.command_type is None else intern(letter.command_type),
        key=None if letter.key is None else letter.key[:KEY_BYTES],
        value=None if letter.kind == "parked" or value is None else value[:PREVIEW_BYTES],
        headers=(),
        message=intern(letter.message[:WORDS]),  # of those behind the first it is one and the same
        reason=None if letter.reason is None else letter.reason[:WORDS],
        traceback=None,
    )
    return Entry(partition, offset, _moment(letter.time, recorded_ms), brief, None if value is None else len(value))


def _moment(time: str, recorded_ms: int) -> int:
    """Return when a letter came: when its message did, unless that is a time no clock of ours would tell."""
    try:
        came = int(datetime.fromisoformat(time).timestamp() * 1000)
    except ValueError:
        return recorded_ms
    return min(max(came, recorded_ms - BACKLOG_MS), recorded_ms)
