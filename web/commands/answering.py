"""What is answered to a command: what it did, why not, or where its outcome will be."""

from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from domain.message import Command
from domain.orders import commands as order
from streams.messages.envelope import Aggregate, CommandMessage, Outcome
from web.answers import answer
from web.errors import rejected
from web.queries.consistency import HEADER, token

PREFIX = "/api/v1"


def decided(aggregate: Aggregate, status: int, message: CommandMessage, outcome: Outcome | None) -> web.Response:
    """Return the answer to a command; `status` when it was accepted, 202 while nobody knows."""
    data: dict[str, Any] = {"id": message.key, "commandId": message.id, **made(message.command)}
    if outcome is None:
        return answer({**data, "status": "pending"}, 202, {"Location": outcome_path(message)})
    headers = {HEADER: token(aggregate, message.key, outcome.version)}
    if outcome.status == "rejected":
        return rejected(outcome, message.id, headers).response()
    if aggregate == "inventory":
        data["productId"] = message.key
    if status == 201:
        headers["Location"] = f"{PREFIX}/orders/{quote(message.key, safe='')}"
    return answer({**data, "version": outcome.version, **(outcome.result or {})}, status, headers)


def outcome_path(message: CommandMessage, *, whole: bool = False) -> str:
    """Return where the outcome of `message` will be; `whole`: its id alone does not tell it from another command."""
    path = f"{PREFIX}/commands/{quote(message.id, safe='')}"
    return f"{path}?{urlencode({'source': message.source, 'aggregateId': message.key})}" if whole else path


def made(command: Command) -> dict[str, str]:
    """Return the ids of what `command` makes."""
    match command:
        case order.CreateShipment(shipment_id=str(shipment_id)):
            return {"shipmentId": shipment_id}
        case order.RequestReturn(return_id=str(return_id)):
            return {"returnId": return_id}
    return {}
