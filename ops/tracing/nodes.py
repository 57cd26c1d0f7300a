"""Build the tree of a flow from its messages: every message is below the one that caused it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from domain.errors import CommandIdReused

Kind = Literal["command", "event"]


@dataclass(slots=True)
class Node:
    """A command or an event, and the messages it caused; a command also has its outcome."""

    kind: Kind
    id: str
    type: str | None = None  # None: a command that has expired from its topic
    aggregate: str | None = None
    aggregate_id: str | None = None
    time: str | None = None
    source: str | None = None
    sequence: int | None = None  # events only
    at: str | None = None  # topic/partition@offset
    status: str | None = None  # commands only: accepted, rejected, parked; None: no outcome is kept
    code: str | None = None
    message: str | None = None
    caused: list["Node"] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return this node and all nodes below it, as JSON."""
        names = ("kind", "id", "type", "aggregate", "aggregateId", "time", "source", "sequence", "at", "status", "code",
                 "message")  # fmt: skip
        values = (self.kind, self.id, self.type, self.aggregate, self.aggregate_id, self.time, self.source,
                  self.sequence, self.at, self.status, self.code, self.message)  # fmt: skip
        found = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        return {**found, "caused": [node.document() for node in self.caused]}


class Flow:
    """The messages of one flow, added in any order. Commands of several aggregates may have the same id."""

    def __init__(self) -> None:
        self._events: dict[str, Node] = {}
        self._commands: dict[str, dict[str, Node]] = {}  # command id → aggregate id → node
        self._causes: dict[int, str | None] = {}  # id() of a node → id of the message that caused it

    def add(self, kind: Kind, aggregate: str, envelope: Mapping[str, Any], key: str, at: str) -> None:
        """Add a command or an event; a command that was forwarded or sent twice is one node."""
        identifier, name = envelope["id"], envelope["type"]
        if kind == "event":
            node = self._events.setdefault(identifier, Node(kind, identifier))
        else:
            node = self._command(identifier, key)
            if node.type not in (None, name):
                return  # another command with the same identity, which is refused
        node.type, node.aggregate, node.aggregate_id = name, aggregate, key
        node.time, node.source = envelope.get("time"), envelope.get("source")
        node.sequence, node.at = envelope.get("sequence"), at
        self._causes[id(node)] = envelope.get("causationid")

    def outcome(self, envelope: Mapping[str, Any]) -> None:
        """Add the outcome of a command."""
        data = envelope["data"]
        node = self._command(data["commandId"], data["aggregateId"])
        if node.status is not None and data.get("code") == CommandIdReused.code:
            return
        node.type, node.status = node.type or data["commandType"], data["status"]
        node.aggregate, node.aggregate_id = data["aggregate"], data["aggregateId"]
        node.code, node.message = data.get("code"), data.get("message")

    def letter(self, data: Mapping[str, Any]) -> None:
        """Add that a command is parked, or what happened to it afterwards."""
        node = self._command(data["commandId"], data.get("aggregateId"))
        node.type = node.type or data.get("commandType")
        if node.status is None or data["kind"] != "parked":
            node.status = "parked" if data["kind"] == "parked" else node.status
            node.code, node.message = data["code"], data["message"]

    def _command(self, identifier: str, aggregate_id: str | None) -> Node:
        """Return the node of a command; the first one with its id if the aggregate is unknown."""
        same = self._commands.setdefault(identifier, {})
        if aggregate_id is None and same:
            return next(iter(same.values()))
        return same.setdefault(aggregate_id or "", Node("command", identifier))

    def _cause(self, node: Node) -> Node | None:
        """Return the message that caused `node`; an event is caused by a command of its own aggregate."""
        if (cause := self._causes.get(id(node))) is None or cause == node.id:
            return None
        if node.kind == "event":  # events are kept forever, their commands for a week
            return self._command(cause, node.aggregate_id)
        commands = self._commands.get(cause, {})
        return self._events.get(cause) or next(iter(commands.values()), None)

    def roots(self) -> list[Node]:
        """Return the messages that no other message in the flow caused, with all others below them."""
        caused = [(node, self._cause(node)) for node in [*self._events.values(), *self._all_commands()]]
        below = {id(node) for node, cause in caused if cause is not None}
        for node, cause in caused:
            if cause is not None:
                cause.caused.append(node)
        every = [*self._events.values(), *self._all_commands()]
        for node in every:
            node.caused.sort(key=_order)
        return sorted((node for node in every if id(node) not in below), key=_order)

    def _all_commands(self) -> list[Node]:
        return [node for same in self._commands.values() for node in same.values()]


def _order(node: Node) -> tuple[str, str, str, int]:
    return node.time or "", node.aggregate or "", node.aggregate_id or "", node.sequence or 0


def count(nodes: Iterable[Node], kind: Kind) -> int:
    """Return the number of nodes of a kind, at any depth."""
    return sum((node.kind == kind) + count(node.caused, kind) for node in nodes)
