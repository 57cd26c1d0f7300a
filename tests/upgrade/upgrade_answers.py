"""The API's answers about everything in an installation, by path."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from upgrade_installation import Installation

ONE_ORDER = ("", "/events", "/explain", "/refusals")
ONE_PRODUCT = ("", "/ledger", "/reservations", "/backorders")
LISTS = ("/orders", "/inventory", "/work-queue", "/letters")
KINDS = ("invalid", "retried", "discarded", "skipped")


def answers(it: Installation, commands: list[str]) -> dict[str, Any]:
    """Return path → status and data of every document, its history and its past, and of `commands`."""
    return {path: answered(it, path) for path in _paths(it, commands)}


def answered(it: Installation, path: str) -> dict[str, Any]:
    """Return status and data, or the error code, of a GET."""
    status, answer = it.ask("GET", path)
    return {"status": status, "data": answer.get("data", answer.get("error"))}


def _paths(it: Installation, commands: list[str]) -> Iterator[str]:
    yield from (f"{path}?limit=500" for path in LISTS)
    yield from (f"/letters?kind={kind}&limit=500" for kind in KINDS)
    yield from (f"/customers/ada/{what}" for what in ("orders?limit=500", "summary"))
    yield from (f"/commands/{quote(each, safe='')}" for each in commands)
    for collection, parts in (("orders", ONE_ORDER), ("inventory", ONE_PRODUCT)):
        for document in it.ask("GET", f"/{collection}?limit=500")[1]["data"]:
            one = f"/{collection}/{quote(document['id'], safe='')}"
            yield from (f"{one}{part}?limit=500" if part in ("/events", "/ledger") else one + part for part in parts)
            yield from (f"{one}?version={version}" for version in range(1, document["version"] + 1))
    for letters in it.ask("GET", "/letters?limit=500")[1]["data"]:
        yield f"/letters/{letters['aggregate']}/{quote(letters['aggregateId'], safe='')}"
