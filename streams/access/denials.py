"""Why a request is denied.

Denied                         status, code, message, details, headers of the answer
├── ForeignHost                403: the Host header names none of our hosts
└── ForeignOrigin              403: a page of another site sent a request that changes something
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
