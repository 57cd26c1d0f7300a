"""Commands over HTTP: a request becomes a command, and its outcome becomes the answer.

A body is the command's own data, unless the route has a `body` that stands for the command. The ids in the path are
part of the data.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from aiohttp import web

from domain.message import Command
from domain.orders import OrderCommand, identified
from streams.messages.envelope import Aggregate, CommandMessage, now
from web.answers import Answer
from web.errors import invalid
from web.preconditions import expected_version, valid_until
from web.requests import CORRELATION, json_body, json_object, path_ids, principal_of

from .answering import decided
from .bodies import Body, checked, order_in
from .earlier_tries import Tries
from .submitting import carry_out


@dataclass(frozen=True, slots=True)
class CommandRoute:
    """A path, the command it stands for, and how the OpenAPI document describes it."""

    method: Literal["POST", "PUT", "DELETE"]
    path: str  # below the prefix
    command: type[Command]
    summary: str
    example: Mapping[str, Any] | None = None
    status: int = 200
    body: type[Body] | None = None  # unless the body is the command's own data

    @property
    def aggregate(self) -> Aggregate:
        """The kind of aggregate that decides the command."""
        return "order" if self.path.startswith("/orders") else "inventory"

    async def __call__(self, request: web.Request) -> Answer:
        """Send the command and answer with its outcome."""
        body = await json_body(request)
        key, command = self.read(request, body)

        def message(command_id: str, order_id: str, _: Tries) -> CommandMessage:
            return CommandMessage(
                id=command_id,
                key=key or order_id,
                command=identified(command, command_id) if isinstance(command, OrderCommand) else command,
                time=now(),
                source="web",
                correlation_id=request.setdefault(CORRELATION, command_id),
                expected_version=expected_version(request.headers),
                principal=principal_of(request),
                valid_until=valid_until(request.headers),
            )

        return await carry_out(request, body, key, message, partial(decided, self.aggregate, self.status))

    def read(self, request: web.Request, body: bytes) -> tuple[str | None, Command]:
        """Return the aggregate's id, None for a new one, and the command."""
        data, ids = json_object(body), path_ids(request)
        (_, key), *others = ids
        shown = [("id", key)] if data.get("id") == key else []  # as GET shows it
        rest = _without(data, [*ids, *shown], "the path")
        if self.method == "DELETE" and (reason := request.query.get("reason")):
            rest = {**_without(rest, [("reason", reason)], "the query"), "reason": reason}
        asked = {**rest, **dict(others)}
        if self.body is None:
            return key, checked(self.command, asked)
        return key, checked(self.body, asked).command()


@dataclass(frozen=True, slots=True)
class PlaceOrderRoute(CommandRoute):
    """The one command that may create its aggregate under an id from the body."""

    def read(self, request: web.Request, body: bytes) -> tuple[str | None, Command]:
        """Return the client's id for the order, None without one, and the command."""
        return order_in(body)


def _without(data: Mapping[str, Any], said: Iterable[tuple[str, str]], where: str) -> dict[str, Any]:
    """Return a body without fields that the request repeats elsewhere; raise a 400 if the values differ."""
    rest = dict(data)
    for name, value in said:
        if (sent := rest.pop(name, None)) is not None and sent != value:
            raise invalid({name: f"is {value!r} in {where} and {sent!r:.150} in the body; they must be the same"})
    return rest
