"""The effects of handling a message, and the interfaces of its handlers."""

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from parking.letter import LetterKind
from parking.queue import Letter
from streams.kafka.transactions import Write
from streams.messages.codec import BadMessage, RecordAt
from streams.messages.envelope import CommandMessage
from streams.tracing.spans import Span

ACCEPTED, PARKED_OUTCOME = "accepted", "parked"  # outcomes, as they are counted


class Effects(Struct, frozen=True):
    """The effects of handling a message: written in the transaction of its fetch, counted after the commit."""

    outcome: str = ""  # as it is counted
    writes: Sequence[Write] = ()
    spans: Sequence[Span] = ()  # spans of messages whose traces are recorded
    letters: Sequence[tuple[str, LetterKind]] = ()  # the message's topic and the kind of each dead letter
    nonsense: str | None = None  # why the command is refused whatever the state is: it is kept as a dead letter
    stop: Exception | None = None  # why the message was not handled; no later one of its partition may be either


def together(*effects: Effects, outcome: str = "", stop: Exception | None = None) -> Effects:
    """Return the sum of `effects`, with an outcome of its own."""
    return Effects(
        outcome,
        [write for each in effects for write in each.writes],
        [span for each in effects for span in each.spans],
        [letter for each in effects for letter in each.letters],
        stop=stop,
    )


class Handler(Protocol):
    """Handles the commands of one kind of aggregate; parking wraps it."""

    def answer(self, command: CommandMessage, partition: int, changes: Any) -> Effects:
        """Decide a command. It may raise anything; then it has changed nothing but `changes`."""


class Replies(Protocol):
    """The outcomes of messages that are not decided."""

    def refusal(self, at: RecordAt, bad: BadMessage) -> Write:
        """Return the outcome of a message that is not a valid command."""

    def discarded(
        self, command: CommandMessage, letter: Letter, sent: CommandMessage | None, reason: str, changes: Any
    ) -> Write:
        """Return the outcome of the command in a letter that `command` discards; `sent`: that one, if readable."""

    def report(self, command: CommandMessage, result: dict[str, Any], changes: Any) -> Write:
        """Return the outcome of a command about letters."""
