"""A flow as a tree: every message below the one that caused it. Pure: messages → nodes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["command", "event"]


@dataclass(slots=True)
class Node:
    """A command or an event, and what it caused; of a command also what became of it."""

    kind: Kind
    id: str
    type: str | None = None  # None: a command that is not on its topic any more
    aggregate: str | None = None
    aggregate_id: str | None = None
    time: str | None = None
    source: str | None = None
    sequence: int | None = None  # of an event
    at: str | None = None  # topic/partition@offset
    status: str | None = None  # of a command: accepted, rejected, parked; None: no outcome is kept
    code: str | None = None
    message: str | None = None
    caused: list["Node"] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it and all below it, as JSON."""
        names = ("kind", "id", "type", "aggregate", "aggregateId", "time", "source", "sequence", "at", "status", "code",
                 "message")  # fmt: skip
        values = (self.kind, self.id, self.type, self.aggregate, self.aggregate_id, self.time, self.source,
                  self.sequence, self.at, self.status, self.code, self.message)  # fmt: skip
        found = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        return {**found, "caused": [node.document() for node in self.caused]}


class Flow:
    """The messages of one flow, added in any order."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._causes: dict[str, str | None] = {}

    def add(self, kind: Kind, aggregate: str, envelope: Mapping[str, Any], key: str, at: str) -> None:
        """Add a command or an event; a command that was forwarded, or came twice, is one."""
        node = self._node(envelope["id"], kind)
        node.type, node.aggregate, node.aggregate_id = envelope["type"], aggregate, key
        node.time, node.source = envelope.get("time"), envelope.get("source")
        node.sequence, node.at = envelope.get("sequence"), at
        self._causes[node.id] = envelope.get("causationid")

    def outcome(self, envelope: Mapping[str, Any]) -> None:
        """Say what became of a command."""
        data = envelope["data"]
        node = self._node(data["commandId"], "command")
        node.type, node.status = node.type or data["commandType"], data["status"]
        node.aggregate, node.aggregate_id = data["aggregate"], data["aggregateId"]
        node.code, node.message = data.get("code"), data.get("message")

    def letter(self, data: Mapping[str, Any]) -> None:
        """Say that a command is parked, or what became of it then."""
        node = self._node(data["commandId"], "command")
        node.type = node.type or data.get("commandType")
        if node.status is None or data["kind"] != "parked":
            node.status = "parked" if data["kind"] == "parked" else node.status
            node.code, node.message = data["code"], data["message"]

    def _node(self, identifier: str, kind: Kind) -> Node:
        return self._nodes.setdefault(identifier, Node(kind, identifier))

    def roots(self) -> list[Node]:
        """Return the messages that nothing in the flow caused, with all others below them."""
        for identifier, cause in list(self._causes.items()):
            if cause and cause not in self._nodes and self._nodes[identifier].kind == "event":
                self._node(cause, "command")  # events are kept for ever, their commands for a week
        for node in self._nodes.values():
            if (cause := self._causes.get(node.id)) in self._nodes and cause != node.id:
                self._nodes[str(cause)].caused.append(node)
        for node in self._nodes.values():
            node.caused.sort(key=_order)
        below = {id(node) for parent in self._nodes.values() for node in parent.caused}
        return sorted((node for node in self._nodes.values() if id(node) not in below), key=_order)


def _order(node: Node) -> tuple[str, str, str, int]:
    return node.time or "", node.aggregate or "", node.aggregate_id or "", node.sequence or 0


def count(nodes: Iterable[Node], kind: Kind) -> int:
    """Return how many nodes of a kind there are, at any depth."""
    return sum((node.kind == kind) + count(node.caused, kind) for node in nodes)
