"""How an outcome looks over HTTP: 200 or 201, the rejection's status, or 202 while the outcome is unknown."""

from typing import Any
from urllib.parse import quote, urlencode

from domain.errors import InvalidId
from domain.message import Command
from domain.orders import commands as order
from streams.messages.envelope import Aggregate, CommandMessage, Outcome
from web import PREFIX
from web.answers import Answer, answer
from web.errors import Problem
from web.queries.consistency import HEADER, token


def decided(aggregate: Aggregate, status: int, message: CommandMessage, outcome: Outcome | None) -> Answer:
    """Return the answer to a command; `status` if it was accepted."""
    data: dict[str, Any] = {"id": message.key, "commandId": message.id, **_created(message.command)}
    if outcome is None:
        return pending(message, data)
    headers = {HEADER: token(aggregate, message.key, outcome.version)}
    if outcome.status == "rejected":
        return rejected(outcome, headers)
    if aggregate == "inventory":
        data["productId"] = message.key
    if status == 201:
        headers["Location"] = f"{PREFIX}/orders/{quote(message.key, safe='')}"
    data |= {"version": outcome.version, **(outcome.result or {}), **(outcome.details or {})}
    return answer(data, status, headers)


def pending(message: CommandMessage, data: dict[str, Any]) -> Answer:
    """Return a 202, which says where the outcome will be."""
    return answer({**data, "status": "pending"}, 202, {"Location": outcome_path(message)})


def rejected(outcome: Outcome, headers: dict[str, str] | None = None) -> Answer:
    """Return the answer to a command that its aggregate rejected."""
    code = outcome.code or "REJECTED"
    details = {**(outcome.details or {}), "commandId": outcome.command_id, "retryable": outcome.retryable}
    errors = {details["field"]: details["reason"]} if code == InvalidId.code else None
    message = outcome.message or "the command was rejected"
    return Problem(code, message, details, errors=errors, headers=headers).answer()


def outcome_path(message: CommandMessage, *, whole: bool = False) -> str:
    """Return the path of a command's outcome; `whole` if its id alone does not distinguish it from another command."""
    path = f"{PREFIX}/commands/{quote(message.id, safe='')}"
    return f"{path}?{urlencode({'source': message.source, 'aggregateId': message.key})}" if whole else path


def _created(command: Command) -> dict[str, str]:
    """Return the id of the shipment, return, receipt or hold that `command` creates."""
    match command:
        case order.CreateShipment(shipment_id=str(shipment_id)):
            return {"shipmentId": shipment_id}
        case order.RequestReturn(return_id=str(return_id)):
            return {"returnId": return_id}
        case order.AddLine(line_id=str(line_id)) | order.ReplaceProduct(new_line_id=str(line_id)):
            return {"lineId": line_id}
        case order.ReceiveReturn(receipt_id=str(receipt_id)):
            return {"receiptId": receipt_id}
        case order.Hold(hold_id=hold_id, reason=reason):
            return {"holdId": hold_id or order.hold_id_of(reason)}
    return {}
