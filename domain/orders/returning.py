"""Returning: the customer announces a return, then the warehouse counts it in, parcel by parcel.

open → received, with the first parcel; an order's returns are never removed
"""

from msgspec.structs import replace

from domain.errors import (
    CorruptHistory,
    InvalidQuantity,
    LineNotFound,
    MoreThanDelivered,
    ReturnAlreadyReceived,
    ReturnExists,
    ReturnNotFound,
)
from domain.ids import refuse_confusable
from domain.message import differing

from .commands import CountedLine, ReceiveReturn, RequestReturn
from .events import ReceivedLine, ReturnLine, ReturnReceived, ReturnRequested
from .lines import named_lines, summed, with_lines
from .room import refuse_more_returns
from .state import Order, Receipt, Return, ReturnLineState

Counted = dict[str, tuple[int, int]]  # by line, the units received and how many of them are damaged


def request_return(command: RequestReturn, order: Order) -> list[ReturnRequested]:
    """Announce a return of units that are delivered, not returned, and not part of another open return."""
    assert command.return_id is not None, "identified() comes first"
    if (back := order.return_(command.return_id)) is not None:
        _refuse_another(back, command)
        return []
    refuse_confusable("returnId", command.return_id)
    refuse_more_returns(order)
    announced = _announced(order)
    lines = []
    for line, quantity in named_lines(order, command.lines):
        returnable = line.delivered - line.returned - announced.get(line.line_id, 0)
        if quantity > returnable:
            raise MoreThanDelivered(lineId=line.line_id, asked=quantity, returnable=returnable)
        lines.append(ReturnLine(line_id=line.line_id, product_id=line.product_id, quantity=quantity))
    return [ReturnRequested(return_id=command.return_id, lines=tuple(lines), reason=command.reason)]


def _refuse_another(back: Return, command: RequestReturn) -> None:
    """Raise ReturnExists if `back` differs from the return that `command` announces."""
    same_lines = summed(command.lines) == {line.line_id: line.quantity for line in back.lines}
    if differing(command, back, {"lines": same_lines}):
        raise ReturnExists(
            returnId=back.return_id,
            status="OPEN" if back.open else "RECEIVED",
            lines=[{"lineId": line.line_id, "quantity": line.quantity} for line in back.lines],
            reason=back.reason,
        )


def _announced(order: Order) -> dict[str, int]:
    quantities: dict[str, int] = {}
    for back in order.returns:
        for line in back.lines if back.open else ():
            quantities[line.line_id] = quantities.get(line.line_id, 0) + line.quantity
    return quantities


def return_requested(order: Order, event: ReturnRequested) -> Order:
    """Return `order` with another open return."""
    lines = tuple(ReturnLineState(line.line_id, line.quantity) for line in event.lines)
    return replace(order, returns=(*order.returns, Return(event.return_id, True, lines, event.reason)))


def receive_return(command: ReceiveReturn, order: Order) -> list[ReturnReceived]:
    """Record a parcel of a return; no event if it was recorded before. The first one closes the return."""
    back = order.return_(command.return_id)
    if back is None:
        raise ReturnNotFound(returnId=command.return_id)
    counted = _outstanding(back) if command.lines is None else _counted(back, command.lines)
    if (known := _receipt(back, command)) is not None or not (back.open or _outstanding(back)):
        _refuse_another_count(back, known, counted, command)
        return []
    if command.receipt_id is not None:
        refuse_confusable("receiptId", command.receipt_id)
    if not back.open and not (counted := _arrived_later(order, back, counted)):
        return []
    lines = tuple(
        ReceivedLine(
            line_id=line.line_id,
            product_id=line.product_id,
            received=received,
            damaged=damaged,
            total_received=line.returned + received,
            total_damaged=line.damaged + damaged,
        )
        for line in order.lines
        if line.line_id in counted
        for received, damaged in [counted[line.line_id]]
    )
    return [
        ReturnReceived(return_id=back.return_id, lines=lines, receipt_id=command.receipt_id, location=command.location)
    ]


def _receipt(back: Return, command: ReceiveReturn) -> Receipt | None:
    return next((each for each in back.receipts if each.receipt_id == command.receipt_id), None)


def _arrived_later(order: Order, back: Return, counted: Counted) -> Counted:
    """Return the units of another parcel of a closed return; refuse units that another return has or announces."""
    refuse_more_returns(order)
    announced, outstanding = _announced(order), _outstanding(back)
    for line in order.lines:
        received, _ = counted.get(line.line_id, (0, 0))
        left = line.delivered - line.returned - announced.get(line.line_id, 0)
        returnable = min(left, outstanding.get(line.line_id, (0, 0))[0])
        if received > returnable:
            raise MoreThanDelivered(lineId=line.line_id, asked=received, returnable=returnable)
    return _arrived(counted)


def _refuse_another_count(back: Return, known: Receipt | None, counted: Counted, command: ReceiveReturn) -> None:
    """Raise ReturnAlreadyReceived unless `command` repeats the receipt it names, or how a whole return arrived."""
    whole = _arrived({line.line_id: (line.received, line.damaged) for line in back.lines})
    parcels = [known.counted] if known is not None else [whole, *(each.counted for each in back.receipts)]
    if command.lines is None:
        same = not _outstanding(back) and not any(damaged for _, damaged in parcels[0].values())
    else:
        same = _arrived(counted) in parcels
    if not same:
        lines = [{"lineId": line.line_id, "received": line.received, "damaged": line.damaged} for line in back.lines]
        raise ReturnAlreadyReceived(returnId=back.return_id, lines=lines)


def _arrived(counted: Counted) -> Counted:
    return {line_id: (received, damaged) for line_id, (received, damaged) in counted.items() if received}


def _outstanding(back: Return) -> Counted:
    return _arrived({line.line_id: (line.quantity - line.received, 0) for line in back.lines})


def _counted(back: Return, lines: tuple[CountedLine, ...]) -> Counted:
    """Return (received, damaged) by line; refuse a count that does not fit the announcement."""
    counted: Counted = {}
    for line in lines:
        received, damaged = counted.get(line.line_id, (0, 0))
        counted[line.line_id] = received + line.received, damaged + line.damaged
    announced = {line.line_id: line.quantity for line in back.lines}
    for line_id, (received, damaged) in counted.items():
        if line_id not in announced:
            raise LineNotFound(lineId=line_id)
        if back.open and received > announced[line_id]:
            raise MoreThanDelivered(lineId=line_id, asked=received, returnable=announced[line_id])
        if damaged > received:
            raise InvalidQuantity(reason=f"line {line_id}: {damaged} units damaged, {received} received")
    return counted


def return_received(order: Order, event: ReturnReceived) -> Order:
    """Return `order` with units of a return received; the return is then closed."""
    back = order.return_(event.return_id)
    if back is None:
        raise CorruptHistory(f"no return {event.return_id}")
    counted = {line.line_id: line for line in event.lines}
    lines = tuple(
        replace(line, received=line.received + new.received, damaged=line.damaged + new.damaged)
        if (new := counted.get(line.line_id))
        else line
        for line in back.lines
    )
    receipts = back.receipts
    if event.receipt_id is not None:
        parcel = {line.line_id: (line.received, line.damaged) for line in event.lines}
        receipts = (*receipts, Receipt(event.receipt_id, _arrived(parcel)))
    closed = replace(back, open=False, lines=lines, receipts=receipts)
    return with_lines(
        order,
        event.lines,
        lambda line, item: replace(line, returned=item.total_received, damaged=item.total_damaged),
        returns=tuple(closed if old is back else old for old in order.returns),
    )
