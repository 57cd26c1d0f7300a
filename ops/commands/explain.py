"""`fulfillment explain`."""

import asyncio
from typing import Annotated, Any
from urllib.parse import quote

import orjson
import typer

from ops.commands.options import Json, load_settings
from streams.runtime.settings import Settings


def explain(
    order_id: Annotated[str, typer.Argument(help="Id of the order.")],
    json: Json = False,
) -> None:
    """Ask the API what each line of an order waits for, and which action resolves it."""
    found = asyncio.run(_ask(load_settings(), order_id))
    typer.echo(orjson.dumps(found).decode() if json else as_text(found))


async def _ask(settings: Settings, order_id: str) -> Any:
    from ops.http import http_api

    async with http_api(settings, connections=1) as api:
        return (await api.get(f"/orders/{quote(order_id, safe='')}/explain")).data


def as_text(found: dict[str, Any]) -> str:
    """Return an explanation as text."""
    state = ", ".join(str(found[name]) for name in ("status", "allocationStatus") if found[name])
    version = f", version {found['version']}" if found["version"] else ""
    head = f"order {found['id']}: {state or 'not in the read models'}{version}"
    return "\n".join([head, *(f"  {reason['message']}  [{reason['code']}]" for reason in found["reasons"])])
