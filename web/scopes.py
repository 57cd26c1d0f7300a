"""The scope that each route needs: the only place that decides it, for requests and for the OpenAPI document."""

from streams.access.principals import Scope

from . import PREFIX

OUTCOME = f"{PREFIX}/commands/{{commandId}}"
PREVIEW = f"{PREFIX}/allocations/preview"  # a question, although it has a body
READING = frozenset({"GET", "HEAD"})


def scopes_of(method: str, path: str) -> tuple[Scope, ...]:
    """Return the scopes of which a principal needs one; `path` has its parameters in braces."""
    if path == f"{PREFIX}/operator-actions" or path.startswith(f"{PREFIX}/webhooks"):
        return ("operate",)
    if method not in READING and path.startswith(f"{PREFIX}/letters/"):
        return ("operate",)
    if path == PREVIEW:
        return ("command", "read")
    if method not in READING:
        return ("command",)
    return ("command", "read") if path == OUTCOME else ("read",)
