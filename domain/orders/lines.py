"""Lines of an order: the ones that a command names, and the ones that an event changes."""

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from domain.errors import CorruptHistory, LineNotFound
from domain.message import MAX_ID

from .commands import LineQuantity, derived_id
from .state import Line, Order


class OfLine(Protocol):
    """The part of an event that concerns one line."""

    @property
    def line_id(self) -> str:
        """The line's id."""


Item = TypeVar("Item", bound=OfLine)


def named_lines(order: Order, asked: Iterable[LineQuantity]) -> list[tuple[Line, int]]:
    """Return the lines a command names, each with its units; raise LineNotFound for an unknown line."""
    quantities = summed(asked)
    lines = {line.line_id: line for line in order.lines}
    if unknown := quantities.keys() - lines.keys():
        raise LineNotFound(lineId=min(unknown))
    return [(lines[line_id], quantity) for line_id, quantity in quantities.items()]


def summed(asked: Iterable[LineQuantity]) -> dict[str, int]:
    """Return the requested units by line; units of a line that is named twice are added up."""
    quantities: dict[str, int] = {}
    for item in asked:
        quantities[item.line_id] = quantities.get(item.line_id, 0) + item.quantity
    return quantities


def with_lines(order: Order, items: Iterable[Item], change: Callable[[Line, Item], Line], **fields: Any) -> Order:
    """Return `order` with `change` applied to each line that `items` name, and with the given `fields`."""
    by_line = {item.line_id: item for item in items}
    lines = [change(line, by_line.pop(line.line_id)) if line.line_id in by_line else line for line in order.lines]
    if by_line:
        raise CorruptHistory(f"no lines {', '.join(by_line)}")
    return replace(order, lines=tuple(lines), **fields)


def family(order: Order, line_id: str) -> list[Line]:
    """Return a line with the lines that complete or replace units of it; raise LineNotFound for an unknown line."""
    named = order.line(line_id)
    if named is None:
        raise LineNotFound(lineId=line_id)
    base = named.part_of or line_id
    return [line for line in order.lines if base in (line.line_id, line.part_of)]


def part_id(order: Order, line_id: str) -> str:
    """Return the id of the next line that completes or replaces units of a line."""
    lines = family(order, line_id)
    base = lines[0].part_of or lines[0].line_id
    stem = base if len(base) <= MAX_ID - len(".000") else derived_id(f"part/{base}")
    return next(new for number in count(len(lines) + 1) if order.line(new := f"{stem}.{number}") is None)
