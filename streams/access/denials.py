"""Why a request is denied.

Denied                         status, code, message, details, headers of the answer
├── ForeignHost                403: the Host header names none of our hosts
├── ForeignOrigin              403: a page of another site sent a request that changes something
├── Unauthorized               401: no credentials, or invalid ones
├── MissingScope               403: the credentials do not allow this
├── TooManyAttempts            429: this address tries one invalid token after the other
├── QuotaExceeded              429: the principal sends more commands than it may
└── IssuerUnavailable          503: the keys of the token's issuer cannot be read
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class Denied(Exception):
    """A request that is not allowed."""

    status: ClassVar[int] = 403
    code: ClassVar[str]

    def __init__(
        self, message: str, details: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.details, self.headers = message, details or {}, headers or {}


class ForeignHost(Denied):
    """The Host header names none of our hosts."""

    code = "FOREIGN_HOST"


class ForeignOrigin(Denied):
    """A page of another site sent a request that changes something."""

    code = "FOREIGN_ORIGIN"


class Unauthorized(Denied):
    """The request has no credentials, or invalid ones."""

    status, code = 401, "UNAUTHORIZED"

    def __init__(self, message: str = "send Authorization: Bearer <token>") -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class MissingScope(Denied):
    """The credentials do not allow this; `needed` are the scopes of which one would."""

    code = "MISSING_SCOPE"

    def __init__(self, principal: str | None, scopes: list[str], needed: tuple[str, ...]) -> None:
        has = f"it has {', '.join(scopes)}" if scopes else "it has none"
        super().__init__(
            f"this needs the scope {' or '.join(needed)}, which the token of {principal} lacks: {has}",
            {"principal": principal, "scopes": scopes, "needed": list(needed)},
            {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{" ".join(needed)}"'},
        )


class TooManyAttempts(Denied):
    """This address tries one invalid token after the other."""

    status, code = 429, "TOO_MANY_ATTEMPTS"


class QuotaExceeded(Denied):
    """The principal sends more commands than it may."""

    status, code = 429, "QUOTA_EXCEEDED"


class IssuerUnavailable(Denied):
    """The keys of the token's issuer cannot be read."""

    status, code = 503, "ISSUER_UNAVAILABLE"
