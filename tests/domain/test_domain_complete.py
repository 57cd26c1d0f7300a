"""Everything that a command, an event or a rejection needs exists; a failure says what to add, and where."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec import to_builtins

from domain import errors, fulfilment, inventory, orders
from domain.errors import Rejection
from domain.inventory.decider import RESERVATION_CHANGES
from domain.inventory.events import ReservationEvent
from domain.message import Command, Event
from domain.orders.events import OrderArchived
from projections.order_shape import order_of, render
from tables.answers import COMMANDS as CAUSES
from web.commands.routes import COMMAND_ROUTES
from web.documents.asyncapi_examples import examples, happened_to_order, order_stories
from web.queries.routes import ORDER

AGGREGATES: list[Any] = [orders, inventory]
WITHOUT_COMMAND = {OrderArchived}  # time causes it
TESTS = "\n".join(path.read_text() for path in Path(__file__).parents[1].rglob("*.py") if path != Path(__file__))


def defined(module: ModuleType, base: type) -> Iterator[type]:
    """Yield the messages that `module` defines; a class with subclasses is not a message itself."""
    for kind in vars(module).values():
        ours = isinstance(kind, type) and issubclass(kind, base) and kind.__module__ == module.__name__
        if ours and not kind.__subclasses__():
            yield kind


COMMANDS = [(it, kind) for it in AGGREGATES for kind in defined(it.commands, Command)]
EVENTS = [(it, kind) for it in AGGREGATES for kind in defined(it.events, Event)]


def named(case: Any) -> str:
    return str(case.__name__).removeprefix("domain.")


@pytest.mark.parametrize(("aggregate", "command"), COMMANDS, ids=named)
def test_a_command_is_complete(aggregate: Any, command: type[Command]) -> None:
    name, decider = command.__name__, f"{aggregate.__name__.replace('.', '/')}/decider.py"
    assert name in aggregate.COMMANDS, f"add {name} to the union at the end of {command.__module__}"
    assert command in aggregate.DECISIONS, f"add {name} and its decision to DECISIONS in {decider}"
    assert name in examples(), (
        f"give the route of {name} an example, or add it to a story in web/documents/asyncapi_examples.py"
    )
    sent = hasattr(fulfilment, name) or command in [route.command for route in COMMAND_ROUTES]
    assert sent, f"add a route for {name} to web/commands/routes.py, or let domain/fulfilment.py send it"
    assert re.search(rf"\b{name}\(", TESTS), (
        f"add tests of {name} to tests/domain: its events, its rejections, a repeat"
    )


@pytest.mark.parametrize(("aggregate", "event"), EVENTS, ids=named)
def test_an_event_is_complete(aggregate: Any, event: type[Event]) -> None:
    name, decider = event.__name__, f"{aggregate.__name__.replace('.', '/')}/decider.py"
    assert name in aggregate.EVENTS, f"add {name} to the union at the end of {event.__module__}"
    assert event in aggregate.CHANGES, f"add {name} and its change to CHANGES in {decider}"
    if issubclass(event, ReservationEvent):
        assert event in RESERVATION_CHANGES, f"add {name} and its change to RESERVATION_CHANGES in {decider}"
    assert event in WITHOUT_COMMAND or name in CAUSES, (
        f"name {name} in the return type of the decision that causes it, for replay"
    )
    assert name in examples(), (
        f"give the route an example that changes a new order or product, or let a story in "
        f"web/documents/asyncapi_examples.py cause {name}"
    )


def test_the_tables_hold_nothing_else() -> None:
    assert {kind for it in AGGREGATES for kind in it.DECISIONS} <= {command for _, command in COMMANDS}
    assert {kind for it in AGGREGATES for kind in it.CHANGES} <= {event for _, event in EVENTS}


NOT_SHOWN = {
    "all_allocated",
    "latest",
    "receipts",
    "added",
    "reduced",
    "rest",
    "changed",
    "could",
    "proposal",
}  # fields that only decisions need, so no document has them


def without_hidden(value: Any) -> Any:
    """Return `value` as plain values, without the fields that documents do not have."""
    if isinstance(value, dict):
        return {name: without_hidden(each) for name, each in value.items() if name not in NOT_SHOWN}
    return [without_hidden(each) for each in value] if isinstance(value, list | tuple) else value


def test_the_document_of_an_order_is_complete() -> None:
    shape = "in projections/order_shape.py"
    for story in order_stories():
        order: orders.Order | None = None
        for event in happened_to_order(story):
            order = orders.evolve_order(order, event)
            document = render("order-1001", order, 1, "", "")
            read = order_of(document, [line.stock_version for line in order.lines])
            for name in set(order.__struct_fields__) - NOT_SHOWN:
                kept, found = (without_hidden(to_builtins(getattr(each, name))) for each in (order, read))
                assert kept == found, f"add {name} of {type(event).__name__} to `render` and `order_of` {shape}"
            unknown = set(document) - set(ORDER.schema["properties"])
            assert not unknown, f"add {unknown} to ORDER in web/queries/routes.py"


def tree(kind: type[Rejection] = Rejection) -> Iterator[tuple[str, str]]:
    """Yield the rejections, each with the one it is a kind of."""
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield each.__name__, kind.__name__
            yield from tree(each)


def drawn() -> Iterator[tuple[str, str]]:
    """Yield the rows of the tree in the docstring of `domain/errors.py`, each with the one above it."""
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if row := re.match(r"((?:│   |    )*)(?:[├└]── )?([A-Z]\w+)(?:\s\s|$)", line):
            depth = 0 if row[2] == "Rejection" else len(row[1]) // 4 + 1
            path[depth:] = [row[2]]
            if depth:
                yield row[2], path[depth - 1]


def test_the_error_tree_shows_every_rejection() -> None:
    assert set(drawn()) == set(tree()), "draw this rejection, or take it out, in the docstring of domain/errors.py"


@pytest.mark.parametrize("rejection", [name for name, _ in tree() if not vars(errors)[name].__subclasses__()])
def test_a_rejection_is_complete(rejection: str) -> None:
    kind: type[Rejection] = vars(errors)[rejection]
    assert "sentence" in vars(kind), f"give {rejection} a sentence, with its details in braces"
    assert re.search(rf"\b({rejection}|{kind.code})\b", TESTS), f"add a test to tests/domain that raises {rejection}"
