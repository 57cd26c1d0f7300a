"""Changing what is ordered, as far as it has not shipped: lines are added, raised, lowered and replaced.

Stock reserves once for each line. Additional units of a line are therefore a line of their own, which is part of it.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from domain.errors import (
    CannotChange,
    LineExists,
    MoreThanUnshipped,
    TotalMismatch,
)
from domain.ids import refuse_confusable
from domain.message import MAX_LINES, MAX_QUANTITY, MAX_TOTAL
from domain.money import Money, money_words
from domain.policy import MANUAL

from .cancelling import without_units
from .commands import AddLine, ChangeQuantity, Price, ReplaceProduct
from .events import AddedLine, LinesAdded, LinesReduced, ReducedLine
from .lines import family, part_id, with_lines
from .state import Line, Order

Changed = LinesAdded | LinesReduced


def add_line(command: AddLine, order: Order) -> list[Changed]:
    """Add a line; no event if the order has it already."""
    assert command.line_id is not None, "identified() comes first"
    line = AddedLine(
        line_id=command.line_id, product_id=command.product_id, quantity=command.quantity, price=command.price
    )
    if (known := order.line(line.line_id)) is not None:
        _refuse_another(known, line)
        return []
    return _checked(order, [added(order, (_new(order, line),))], command.total_cost)


def change_quantity(command: ChangeQuantity, order: Order) -> list[Changed]:
    """Add units of a line or take some away, those of its newest part first, until it has the given number."""
    lines = family(order, command.line_id)
    more = command.quantity - sum(line.active for line in lines)
    if more == 0:
        return []
    if more < 0:
        return _checked(order, [reduced(order, _fewer(command, lines, -more))], command.total_cost)
    refuse_shipped(order)
    base = lines[0]
    part = AddedLine(
        line_id=part_id(order, base.line_id),
        product_id=base.product_id,
        quantity=more,
        price=base.price,
        part_of=base.part_of or base.line_id,
    )
    return _checked(order, [added(order, (part,))], command.total_cost)


def _fewer(command: ChangeQuantity, lines: Sequence[Line], fewer: int) -> tuple[ReducedLine, ...]:
    if fewer > (unshipped := sum(line.unshipped for line in lines)):
        raise MoreThanUnshipped(lineId=command.line_id, asked=fewer, unshipped=unshipped)
    found = []
    for line in reversed(lines):
        if units := min(fewer, line.unshipped):
            found.append(_reduced_line(line, units))
            fewer -= units
    return tuple(found)


def replace_product(command: ReplaceProduct, order: Order) -> list[Changed]:
    """Take away the units of a line that have not shipped, and add a line of another product."""
    assert command.new_line_id is not None, "identified() comes first"
    lines = family(order, command.line_id)
    if (known := order.line(command.new_line_id)) is not None:
        price = next((line.price for line in lines if line.price == known.price), lines[0].price)
        _refuse_another(known, _replacing(command, known.ordered + known.reduced, price))
        return []
    replaced = [line for line in lines if line.unshipped]
    if not replaced:
        raise CannotChange(reason=f"no units of line {command.line_id} are left that have not shipped")
    if command.price is None and any(line.price != replaced[0].price for line in replaced):
        raise CannotChange(reason=f"the units of line {command.line_id} have several prices; give the new price")
    units = min(sum(line.unshipped for line in replaced), MAX_QUANTITY)
    add = added(order, (_new(order, _replacing(command, units, replaced[0].price)),))
    fewer = tuple(_reduced_line(line, line.unshipped) for line in replaced)
    less = reduced(lines_added(order, add), fewer)
    return _checked(order, [add, less], command.total_cost)


def _replacing(command: ReplaceProduct, quantity: int, price: Price) -> AddedLine:
    assert command.new_line_id is not None, "identified() comes first"
    return AddedLine(
        line_id=command.new_line_id,
        product_id=command.product_id,
        quantity=command.quantity or quantity,
        price=command.price or price,
    )


def added(order: Order, lines: tuple[AddedLine, ...]) -> LinesAdded:
    """Return the event by which `order` gets more lines; raise CannotChange if it would have too many."""
    if len(order.lines) + len(lines) > MAX_LINES:
        raise CannotChange(reason=f"it would have more than {MAX_LINES} lines")
    cost = order.total_cost.amount + sum(line.quantity * line.price.amount for line in lines)
    if cost > MAX_TOTAL:
        raise CannotChange(reason=f"the total must not exceed {MAX_TOTAL} minor units")
    total = replace(order.total_cost, amount=cost)
    return LinesAdded(lines=lines, policy=order.policy, total_cost=total, allocation=order.allocation)


def reduced(order: Order, lines: tuple[ReducedLine, ...]) -> LinesReduced:
    """Return the event by which `order` loses units; raise CannotChange if none would be left."""
    fewer = {line.line_id: line.quantity for line in lines}
    if order.total("active") == sum(fewer.values()):
        raise CannotChange(reason="no units would be left; cancel it instead")
    cost = sum(line.price.amount * fewer.get(line.line_id, 0) for line in order.lines)
    return LinesReduced(lines=lines, total_cost=replace(order.total_cost, amount=order.total_cost.amount - cost))


def _new(order: Order, line: AddedLine) -> AddedLine:
    """Return a line that a client adds; raise a Rejection if it does not fit the order."""
    refuse_shipped(order)
    refuse_confusable("lineId", line.line_id)
    refuse_confusable("productId", line.product_id)
    if line.line_id == MANUAL:
        raise CannotChange(reason=f"a line cannot have the id {MANUAL}, which is for manual reservations")
    if line.price.currency != order.total_cost.currency:
        raise CannotChange(reason=f"its currency is {order.total_cost.currency}")
    return line


def refuse_shipped(order: Order) -> None:
    """Raise CannotChange if no units are left that have not shipped."""
    if not order.total("unshipped"):
        raise CannotChange(reason="all of its units have shipped; place another order")


def _refuse_another(known: Line, line: AddedLine) -> None:
    """Raise LineExists if a line differs from the one that has its id."""
    same = (known.product_id, known.ordered + known.reduced, known.price) == (
        line.product_id, line.quantity, line.price,
    )  # fmt: skip
    if not (same and known.added):
        raise LineExists(lineId=known.line_id, productId=known.product_id, quantity=known.ordered)


def _reduced_line(line: Line, units: int) -> ReducedLine:
    return ReducedLine(line_id=line.line_id, product_id=line.product_id, quantity=units, keep=line.unshipped - units)


def _checked(order: Order, events: list[Changed], expected: Money | None) -> list[Changed]:
    """Return `events`; raise TotalMismatch if the total after them is not the expected one."""
    total = events[-1].total_cost
    if expected is not None and expected != total:
        raise TotalMismatch(given=money_words(expected), computed=money_words(total))
    return events


def lines_added(order: Order, event: LinesAdded) -> Order:
    """Return `order` with more lines: all of their units are pending."""
    new = tuple(
        Line(
            line.line_id,
            line.product_id,
            Price(amount=line.price.amount, currency=line.price.currency),
            line.quantity,
            line.quantity,
            added=True,
            part_of=line.part_of,
        )
        for line in event.lines
    )
    return replace(order, lines=(*order.lines, *new), total_cost=event.total_cost)


def lines_reduced(order: Order, event: LinesReduced) -> Order:
    """Return `order` with fewer units: pending ones first, then backordered, then allocated ones."""
    return with_lines(order, event.lines, _fewer_units, total_cost=event.total_cost)


def _fewer_units(line: Line, item: ReducedLine) -> Line:
    after = without_units(line, item.quantity)
    return replace(
        after,
        cancelled=line.cancelled,
        ordered=line.ordered - item.quantity,
        reduced=line.reduced + item.quantity,
    )
