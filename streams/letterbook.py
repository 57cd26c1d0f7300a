"""Which letters are parked, folded from `dead-letters`, for everybody who is not the worker that has them.

The workers' tables are the truth; the topic is told again of letters that wait long, before it forgets them.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

from .letters import DeadLetter
from .messages import Aggregate
from .topics import INVENTORY_COMMANDS, ORDER_COMMANDS, Topic

Key = tuple[Aggregate, str]  # an aggregate
COMMANDS: Mapping[Aggregate, Topic] = {"order": ORDER_COMMANDS, "inventory": INVENTORY_COMMANDS}
KEPT = 1_000  # letters that are not parked


class Letterbook:
    """The parked letters, aggregate by aggregate in their order, and the newest of all others."""

    def __init__(self) -> None:
        self._queues: dict[Key, dict[str, DeadLetter]] = {}
        self._commands: dict[str, DeadLetter] = {}
        self.others: deque[DeadLetter] = deque(maxlen=KEPT)  # the newest last

    def add(self, letter: DeadLetter) -> None:
        """Take in a record; those of one aggregate come in their order, for they are on one partition."""
        if letter.aggregate is None or letter.aggregate_id is None or letter.command_id is None:
            self.others.append(letter)
            return
        key, command_id = (letter.aggregate, letter.aggregate_id), letter.command_id
        if letter.kind == "parked":
            self._queues.setdefault(key, {})[command_id] = self._commands[command_id] = letter
            return
        self.others.append(letter)
        if letter.kind in ("retried", "discarded"):
            self._remove(key, command_id)

    def _remove(self, key: Key, command_id: str) -> None:
        queue = self._queues.get(key, {})
        queue.pop(command_id, None)
        self._commands.pop(command_id, None)
        if not queue:
            self._queues.pop(key, None)

    @property
    def keys(self) -> list[Key]:
        """The aggregates whose commands wait, sorted."""
        return sorted(self._queues)

    def letters(self, key: Key) -> list[DeadLetter]:
        """Return an aggregate's letters, in the order they will be handled."""
        return sorted(self._queues.get(key, {}).values(), key=lambda letter: letter.offset)  # all of one partition

    def of_command(self, command_id: str) -> DeadLetter | None:
        """Return the letter a command is parked in."""
        return self._commands.get(command_id)

    def summary(self, key: Key) -> dict[str, Any]:
        """Return what is to be known of an aggregate whose commands wait: how many, and why the first does."""
        letters = self.letters(key)
        first = letters[0]
        return {
            "aggregate": key[0],
            "aggregateId": key[1],
            "topic": first.topic,
            "letters": len(letters),
            "since": min(letter.time for letter in letters),
            "commandId": first.command_id,
            "commandType": first.command_type,
            "code": first.code,
            "message": first.message,
            "attempts": first.attempts,
        }


def described(letter: DeadLetter) -> dict[str, Any]:
    """Return a letter whole, as JSON."""
    return {**letter.data, "time": letter.time, "attempts": letter.attempts}
