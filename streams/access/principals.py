"""Principals: who sends a request, and what they may do."""

from dataclasses import dataclass
from typing import Literal, get_args

from streams.access.denials import MissingScope

Scope = Literal["read", "command", "operate"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
MEANINGS: dict[Scope, str] = {
    "read": "read models, events, letters, metrics",
    "command": "send commands, and read their outcomes",
    "operate": "retry and discard letters, manage webhooks, and read who did what",
}


@dataclass(frozen=True, slots=True)
class Principal:
    """The sender of a request; the name is None if the installation requires no credentials."""

    name: str | None
    scopes: frozenset[Scope]

    def may(self, *needed: Scope) -> bool:
        """Return whether the principal has one of the `needed` scopes."""
        return not self.scopes.isdisjoint(needed)

    def require(self, *needed: Scope) -> None:
        """Raise `MissingScope` unless the principal has one of the `needed` scopes."""
        if not self.may(*needed):
            raise MissingScope(self.name, [each for each in SCOPES if each in self.scopes], needed)


EVERYTHING = frozenset(SCOPES)
ANYBODY = Principal(None, EVERYTHING)  # on loopback, where no credentials are required
OF_API_TOKEN = Principal("api-token", EVERYTHING)  # the sender of FULFILLMENT_API_TOKEN
UNTOLD = "not shown without credentials: send a token with the scope read"  # instead of what strangers must not know
