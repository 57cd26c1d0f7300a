"""Commands over HTTP: which path is which command, and how its outcome becomes the answer.

A body is the command's own data; ids in the path join it, and `fixed` is what the path stands for. Only orders are
placed with a body of their own (`models.OrderRequest`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from domain.message import Command
from domain.orders import OrderCommand, identified
from streams.messages.envelope import Aggregate, CommandMessage, now
from streams.messages.models import model_of
from streams.messages.strict import read, read_command
from web.errors import invalid, invalid_model
from web.requests import CORRELATION, Preference, identifier, json_body, path_ids
from web.services import SERVICES

from .answering import decided
from .bodies import OrderRequest
from .earlier_tries import Tries
from .idempotency import Executed, executed, keyed
from .preconditions import expected_version
from .submitting import submit

C = TypeVar("C", bound=Command)


@dataclass(frozen=True, slots=True)
class CommandRoute:
    """A path, the command it stands for, and what its documentation says."""

    method: Literal["POST", "PUT", "DELETE"]
    path: str  # below the prefix
    command: type[Command]
    summary: str
    example: Mapping[str, Any] | None = None
    status: int = 200
    body: type[BaseModel] | None = None  # when it is not the command itself
    fixed: Mapping[str, Any] | None = None

    @property
    def aggregate(self) -> Aggregate:
        """Whose command it is."""
        return "order" if self.path.startswith("/orders") else "inventory"

    async def __call__(self, request: web.Request) -> web.Response:
        """Send the command and answer with its outcome."""
        sent, data = await json_body(request)
        ids = path_ids(request)
        (_, key), *others = ids
        shown = [("id", key)] if data.get("id") == key else []  # as GET shows it
        rest = _without(data, [*ids, *shown], "the path")
        if self.method == "DELETE" and (reason := request.query.get("reason")):
            rest = {**_without(rest, [("reason", reason)], "the query"), "reason": reason}
        asked = {**rest, **dict(others)}
        if self.body is not None:
            asked = validated(self.body, asked).model_dump(by_alias=True, exclude_none=True) | dict(self.fixed or {})
        command = validated_command(self.command, asked)
        return await _run(request, sent, self, key, command)


def _without(data: Mapping[str, Any], said: Iterable[tuple[str, str]], where: str) -> dict[str, Any]:
    """Return a body without what the request says elsewhere too; a 400 that names both values when they differ."""
    rest = dict(data)
    for name, value in said:
        if (sent := rest.pop(name, None)) is not None and sent != value:
            raise invalid({name: f"is {value!r} in {where} and {sent!r:.150} in the body; they must be the same"})
    return rest


def validated(model: type[BaseModel], data: Mapping[str, Any], code: str = "VALIDATION_FAILED") -> Any:
    """Return `data` as `model`; a 400 that names the fields that are wrong or unknown."""
    try:
        return read(model, data)
    except ValidationError as error:
        raise invalid_model(error, model, code) from None


def validated_command(kind: type[C], data: Mapping[str, Any]) -> C:
    """Return `data` as a command; a 400 that names the fields that are wrong or unknown."""
    try:
        return read_command(kind, data)
    except ValidationError as error:
        raise invalid_model(error, model_of(kind)) from None


async def _run(
    request: web.Request, sent: bytes, route: CommandRoute, key: str | None, command: Command
) -> web.Response:
    """Send `command` to the aggregate `key` (None: a new one), once an Idempotency-Key; answer with its outcome."""
    services = request.app[SERVICES]
    headers = request.headers
    preference = Preference.of(headers, services.settings.command_timeout)

    async def execute(command_id: str, fresh_id: str, tries: Tries) -> Executed:
        message = CommandMessage(
            id=command_id,
            key=key or fresh_id,
            command=_identified(command, command_id),
            time=now(),
            source="web",
            correlation_id=request.setdefault(CORRELATION, command_id),
            expected_version=expected_version(headers),
        )
        attempt, outcome = await submit(services, message, preference, tries=tries)
        return executed(decided(route.aggregate, route.status, attempt, outcome), attempt, outcome)

    return await keyed(request, sent, key, execute)


def _identified(command: Command, command_id: str) -> Command:
    return identified(command, command_id) if isinstance(command, OrderCommand) else command


@dataclass(frozen=True, slots=True)
class PlaceOrderRoute(CommandRoute):
    """The one command whose body is its own, and whose aggregate may be new."""

    async def __call__(self, request: web.Request) -> web.Response:
        """Place an order, under the client's id or a new one."""
        sent, data = await json_body(request)
        wanted: OrderRequest = validated(OrderRequest, data, "INVALID_ORDER")
        key = identifier(wanted.order_id, "orderId") if wanted.order_id is not None else None
        return await _run(request, sent, self, key, wanted.command())
