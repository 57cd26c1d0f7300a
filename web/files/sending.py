"""Carrying out the lines of a file: each command once, even if an earlier attempt was interrupted."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from aiohttp import web

from projections.commands import KEPT
from projections.mongo.stock_imports import Rejected, Window
from streams.access.denials import QuotaExceeded
from streams.messages.envelope import CommandMessage, Outcome, derived_id, instant_of, now
from streams.runtime.faults import fault
from web.commands.answering import outcome_path
from web.commands.earlier_tries import outcomes
from web.commands.quota import QUOTAS, Quotas
from web.requests import CORRELATION, principal_of
from web.services import SERVICES, Services

from .settling import until_decided
from .stock_lines import Line

OUTCOME_SECONDS = 60.0  # at most, until the outcomes of a window are known
QUOTA_SECONDS = 1.0  # between two checks of a quota that is used up
FORGOTTEN = KEPT - timedelta(days=1)  # after this time, the read model may not have an outcome any more
CLOCKS = timedelta(hours=1)  # that two clocks may differ


class Ending(NamedTuple):
    """How a command ended; `version`: the product's after it, if that is known."""

    status: Literal["accepted", "rejected"]
    version: int | None = None
    code: str | None = None
    message: str | None = None
    retryable: bool = False

    @classmethod
    def of(cls, outcome: Outcome) -> "Ending":
        """Return the ending that an outcome reports."""
        rejected = outcome.status == "rejected"
        return cls(
            "rejected" if rejected else "accepted", outcome.version, outcome.code, outcome.message, outcome.retryable
        )


Endings = dict[int, Ending]  # by line
Messages = Mapping[int, CommandMessage]  # by line


@dataclass(frozen=True, slots=True)
class Sending:
    """Sends the commands of one import."""

    services: Services
    quotas: Quotas
    import_id: str
    correlation: str
    principal: str | None

    @classmethod
    def of(cls, request: web.Request, import_id: str) -> "Sending":
        """Return a sender for the commands of a request."""
        correlation = request.setdefault(CORRELATION, import_id)
        return cls(request.app[SERVICES], request.app[QUOTAS], import_id, correlation, principal_of(request))

    async def carry_out(self, first: int, lines: Sequence[Line]) -> dict[int, dict[str, Any]]:
        """Carry out the lines of the window that begins with line `first`, and return the report of each."""
        window = await self.services.stock_imports.begin(self.import_id, first)
        if window.rejected is not None:
            refused = {line: Ending("rejected", None, code, message) for line, code, message in window.rejected}
            return {line.number: _report(line, refused.get(line.number, _DONE), "repeated") for line in lines}
        messages = {line.number: self._message(line) for line in lines}
        earlier = await self._earlier(window, messages)
        left = {number: each for number, each in messages.items() if number not in earlier}
        parked = await self._parked(left) if left and not window.is_new else frozenset[int]()
        sent = await self._send({number: each for number, each in left.items() if number not in parked})
        endings = earlier | sent
        if all(number in endings and not endings[number].retryable for number in messages):
            await self.services.stock_imports.settle(window, _rejected(endings))
            fault("answer-stored")
        return {
            line.number: _report(line, endings[line.number], "repeated" if line.number in earlier else "accepted")
            if line.number in endings
            else {**line.report("pending"), "location": outcome_path(messages[line.number])}
            for line in lines
        }

    def _message(self, line: Line) -> CommandMessage:
        return CommandMessage(
            id=derived_id(self.import_id, line.number),
            key=line.product_id,
            command=line.command,
            time=now(),
            source="web",
            correlation_id=self.correlation,
            principal=self.principal,
        )

    async def _earlier(self, window: Window, messages: Messages) -> Endings:
        """Return the outcomes of commands that an earlier attempt has sent."""
        if not window.is_new:
            await until_decided(self.services, {each.key for each in messages.values()})
        found = await self._outcomes(messages)
        if datetime.now(UTC) - datetime.fromisoformat(window.began) > FORGOTTEN:
            since = instant_of((datetime.fromisoformat(window.began) - CLOCKS).timestamp())
            for number in messages.keys() - found.keys():
                if await self._is_in_ledger(messages[number], since):
                    found[number] = _DONE
        return found

    async def _outcomes(self, messages: Messages) -> Endings:
        found = await outcomes(self.services, list(messages.values()))
        return {
            number: Ending.of(outcome)
            for number, outcome in zip(messages, found, strict=True)
            if outcome is not None and not outcome.retryable
        }

    async def _parked(self, messages: Messages) -> frozenset[int]:
        """Return the lines whose commands are parked: they are in Kafka, and wait for an operator."""
        book = await self.services.letters.book()
        return frozenset(number for number, each in messages.items() if book.of_command(each.id) is not None)

    async def _is_in_ledger(self, message: CommandMessage, since: str) -> bool:
        """Return whether a product has an event that a command caused; the ledger keeps them permanently."""
        entries, history = self.services.queries.log("stock_ledger")
        found = entries.find({**history.between(message.key), "time": {"$gte": since}})
        async for entry in found:
            if history.message_of(entry).causation_id == message.id:
                return True
        return False

    async def _send(self, messages: Messages) -> Endings:
        """Send commands, and return the outcomes that arrive in time."""
        if not messages:
            return {}
        await self._spend(len(messages))
        async with AsyncExitStack() as stack:
            waiting = {
                number: await stack.enter_async_context(self.services.waiting.of(message))
                for number, message in messages.items()
            }
            self.services.imports.refuse_commands()
            fault("sending")
            await self.services.gateway.send(list(messages.values()))
            fault("sent")
            await asyncio.wait(waiting.values(), timeout=OUTCOME_SECONDS)
            found = {number: Ending.of(future.result()) for number, future in waiting.items() if future.done()}
        fault("answered")
        late = {number: message for number, message in messages.items() if number not in found}
        for message in late.values():
            self.services.accepted.add(message.id)
        return found | (await self._outcomes(late) if late else {})

    async def _spend(self, commands: int) -> None:
        """Count commands in the principal's quota; wait while it is used up."""
        while True:
            try:
                return self.quotas.spend(self.principal, commands)
            except QuotaExceeded:
                await asyncio.sleep(QUOTA_SECONDS)


_DONE = Ending("accepted")


def _rejected(endings: Endings) -> list[Rejected]:
    return [
        (number, each.code or "REJECTED", each.message or "")
        for number, each in endings.items()
        if each.status == "rejected"
    ]


def _report(line: Line, ending: Ending, accepted: str) -> dict[str, Any]:
    """Return the report of a line; `accepted`: what it says of a line that is done."""
    if ending.status == "rejected":
        return {**line.report("rejected"), "code": ending.code, "message": ending.message}
    version = {} if ending.version is None else {"version": ending.version}
    return {**line.report(accepted), **version}
