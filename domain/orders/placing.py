"""Placing: an order is registered; nothing is allocated yet."""

from msgspec.structs import replace

from domain.errors import InvalidOrder, OrderExists, TotalMismatch
from domain.ids import refuse_confusable
from domain.message import MAX_TOTAL, differing
from domain.money import Money, money_words
from domain.policy import MANUAL

from .commands import PlaceOrder
from .events import OrderPlaced, PlacedLine
from .state import Line, Order, OrderState


def place(command: PlaceOrder, state: OrderState) -> list[OrderPlaced]:
    """Place the order; no event if it was already placed with the same contents."""
    if state.order is not None:
        if differs := _differences(command, state.order):
            raise OrderExists(orderId=state.order_id, differs=differs)
        return []
    _refuse_confusable_ids(command, state.order_id)
    lines = _lines(command)
    total = _total(lines)
    if not _agrees(command, total):
        raise TotalMismatch(given=money_words(command.total_cost or total), computed=money_words(total))
    return [
        OrderPlaced(
            customer_id=command.customer_id,
            lines=lines,
            shipping_address=command.shipping_address,
            billing_address=command.billing_address,
            total_cost=total,
            policy=command.policy,
            issued_at=command.issued_at,
            ship_by=command.ship_by,
            when_late=command.when_late,
            backorders_expire_at=command.backorders_expire_at,
            allocation=command.allocation,
        )
    ]


def _refuse_confusable_ids(command: PlaceOrder, order_id: str) -> None:
    refuse_confusable("orderId", order_id)
    refuse_confusable("customerId", command.customer_id)
    for number, line in enumerate(command.lines):
        refuse_confusable(f"lines.{number}.productId", line.product_id)
        if line.line_id is not None:
            refuse_confusable(f"lines.{number}.lineId", line.line_id)


def _lines(command: PlaceOrder) -> tuple[PlacedLine, ...]:
    if not command.lines:
        raise InvalidOrder(reason="an order must have at least one line")
    lines = tuple(
        [
            PlacedLine(
                line_id=new.line_id or str(number), product_id=new.product_id, quantity=new.quantity, price=new.price
            )
            for number, new in enumerate(command.lines, start=1)
        ]
    )
    ids = {line.line_id for line in lines}
    if len(ids) < len(lines):
        raise InvalidOrder(reason="two lines cannot have the same id")
    if MANUAL in ids:
        raise InvalidOrder(reason=f"a line cannot have the id {MANUAL}: it is that of manual reservations")
    return lines


def _total(lines: tuple[PlacedLine, ...]) -> Money:
    amount, currency = 0, lines[0].price.currency
    for line in lines:
        price = line.price
        if price.currency != currency:
            raise InvalidOrder(reason="all prices of an order must be in one currency")
        amount += line.quantity * price.amount
    if amount > MAX_TOTAL:
        raise InvalidOrder(reason=f"the total must not exceed {MAX_TOTAL} minor units")
    return Money(amount=amount, currency=currency)


def _agrees(command: PlaceOrder, total: Money) -> bool:
    """Return whether the given total, if any, equals the computed one; both are whole minor units."""
    return command.total_cost is None or command.total_cost == total


def _differences(command: PlaceOrder, order: Order) -> list[str]:
    """Return the fields in which `command` differs from the order as it was placed, before any changes."""
    kept = [line for line in order.lines if not line.added]
    lines = len(command.lines) == len(kept) and not any(
        differing(
            new,
            line,
            {
                "line_id": (new.line_id or str(number)) == line.line_id,
                "quantity": new.quantity == line.ordered + line.reduced,
            },
        )
        for number, (new, line) in enumerate(zip(command.lines, kept, strict=True), start=1)
    )
    total = sum((line.ordered + line.reduced) * line.price.amount for line in kept)
    agrees = _agrees(command, replace(order.total_cost, amount=total))
    planned = command.allocation is None or not command.allocation.locations  # settings may have completed it
    plan = planned or command.allocation == order.allocation
    known = {"lines": lines, "total_cost": agrees, "allocation": plan}
    return differing(command, order, {**known, **dict.fromkeys(order.changed, True)})


def placed(order: None, event: OrderPlaced) -> Order:
    """Return the order as it was placed: all units of all lines are pending."""
    return Order(
        customer_id=event.customer_id,
        lines=tuple([Line(new.line_id, new.product_id, new.price, new.quantity, new.quantity) for new in event.lines]),
        policy=event.policy,
        total_cost=event.total_cost,
        shipping_address=event.shipping_address,
        billing_address=event.billing_address,
        issued_at=event.issued_at,
        ship_by=event.ship_by,
        when_late=event.when_late,
        backorders_expire_at=event.backorders_expire_at,
        allocation=event.allocation,
    )
