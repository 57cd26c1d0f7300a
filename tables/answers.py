"""Answers to commands, derived from events: an event names the command that caused it.

The type of the command is inferred from the events. Rejections, and commands without events, are not known.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, get_args, get_type_hints

from domain import inventory, orders
from domain.inventory.events import ReservationEvent
from domain.orders.events import AllocationRecorded, OrderArchived
from domain.policy import MANUAL
from streams.messages.envelope import Aggregate, EventMessage, event_id

from .entries import Answer, Recent


def _causes(decisions: Mapping[Any, Callable[..., Any]]) -> Iterator[tuple[str, str]]:
    """Yield each event with a command that causes it, from the return types of the decisions."""
    for command, decision in decisions.items():
        for event in _classes_in(get_type_hints(decision)["return"]):
            yield event.__name__, command.__name__


def _classes_in(hint: Any) -> Iterator[type]:
    inner = get_args(hint)
    if not inner:
        yield hint
    for each in inner:
        yield from _classes_in(each)


# event → the command that most likely caused it: of several, the first in the table of decisions
COMMANDS = dict(
    reversed([pair for it in (orders, inventory) for pair in (*_causes(it.DECISIONS), *_causes(it.BY_TIME))])
)
BY_TIME = {kind.__name__ for kind in orders.BY_TIME} | {kind.__name__ for kind in inventory.BY_TIME}


def answer_of(aggregate: Aggregate, events: Sequence[EventMessage]) -> Answer | None:
    """Return the answer to the command that caused `events` of one aggregate; None if no answer to it is kept."""
    if not is_answered(events[0]):
        return None
    last, types = events[-1], tuple(event.type for event in events)
    by_sequence = last.id == event_id(aggregate, last.key, last.sequence)
    name = COMMANDS.get(types[0], types[0])
    return Answer(last.causation_id, name, last.sequence, types, by_sequence=by_sequence)


def is_answered(first: EventMessage) -> bool:
    """Return whether a client sent the command; other commands are not repeated, so their answers are not kept."""
    event = first.event
    if isinstance(event, ReservationEvent):
        return event.line_id == MANUAL
    return not isinstance(event, AllocationRecorded | OrderArchived) and COMMANDS.get(first.type) not in BY_TIME


def recent_of(aggregate: Aggregate, events: Iterable[EventMessage], limit: int) -> Recent:
    """Return the answers to the last commands that caused events of one aggregate, oldest first."""
    by_command = (list(caused) for _, caused in groupby(events, lambda event: event.causation_id))
    answers = [answer for caused in by_command if (answer := answer_of(aggregate, caused)) is not None]
    return tuple(answers[-limit:]) if limit else ()
