"""Every error code of the HTTP API and of rejected commands: its status, its cause and the remedy."""

from collections.abc import Iterator
from inspect import getdoc

from domain.errors import Rejection
from ops.reference.markdown import code, table
from ops.reference.remedies import CAUSES, REMEDIES
from web.documents.refusals import codes


def errors() -> str:
    """Return a row for each error code."""
    rows = [
        (code(name), str(status), cause_of(name), REMEDIES[name]) for status, names in codes().items() for name in names
    ]
    return table(("Code", "Status", "Cause", "What to do"), rows)


def cause_of(name: str) -> str:
    """Return what an error code means; a rejection's class says so in its docstring."""
    rejections = {kind.code: (getdoc(kind) or "").splitlines()[0] for kind in _kinds(Rejection)}
    return CAUSES.get(name) or rejections[name]


def _kinds(kind: type[Rejection]) -> Iterator[type[Rejection]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)
