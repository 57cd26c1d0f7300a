"""`fulfillment webhooks`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import orjson
import typer

from ops.commands.options import Json, load_settings
from ops.errors import Misconfigured
from streams.wording import counted

if TYPE_CHECKING:
    from ops.http import HttpApi

webhooks = typer.Typer(no_args_is_help=True, help="See how webhooks are delivered, and pause or replay them.")
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the webhook, as `list` shows it.")]


def _ask(ask: "Callable[[HttpApi], Awaitable[Any]]") -> Any:
    """Return what the API answers."""
    from ops.http import http_api

    async def connected() -> Any:
        async with http_api(load_settings(), connections=1) as api:
            return (await ask(api)).data

    return asyncio.run(connected())


def _path(identifier: str, rest: str = "") -> str:
    return f"/webhooks/{quote(identifier, safe='')}{rest}"


@webhooks.command("list")
def list_webhooks(json: Json = False) -> None:
    """List the webhooks and their status."""
    found = _ask(lambda api: api.get("/webhooks"))
    if json:
        typer.echo(orjson.dumps(found).decode())
    elif found:
        for each in found:
            reason = f" ({each['reason']})" if each["reason"] else ""
            typer.echo(f"{each['id']}  {each['status']:<6}  {each['url']}  {', '.join(each['types']) or 'all'}{reason}")
    else:
        typer.echo("no webhooks")


@webhooks.command()
def show(webhook_id: Id, json: Json = False) -> None:
    """Show a webhook: its URL, how far it is delivered, and which events wait for a retry."""
    found = _ask(lambda api: api.get(_path(webhook_id)))
    typer.echo(orjson.dumps(found).decode() if json else as_text(found))


@webhooks.command()
def deliveries(
    webhook_id: Id,
    status: Annotated[
        str | None, typer.Option(help="Only deliveries with this status: delivered, retrying or parked.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Number of deliveries, the newest first.")] = 50,
    json: Json = False,
) -> None:
    """List the deliveries of the last week, the newest attempt first."""
    chosen = {} if status is None else {"status": status}
    found = _ask(lambda api: api.get(_path(webhook_id, "/deliveries"), limit=limit, **chosen))
    if json:
        for each in found:
            typer.echo(orjson.dumps(each).decode())
    elif found:
        for each in found:
            what, why = f"{each['type']} {each['aggregateId']}", f": {each['error']}" if each["error"] else ""
            typer.echo(
                f"{each['lastAttempt']}  {each['status']:<9}  {what}  {counted(each['attempts'], 'attempt')}{why}"
            )
    else:
        typer.echo("no deliveries")


@webhooks.command()
def pause(webhook_id: Id) -> None:
    """Pause the deliveries of a webhook; nothing is lost."""
    _change(webhook_id, "pause", {})


@webhooks.command()
def resume(webhook_id: Id) -> None:
    """Continue the deliveries of a paused or parked webhook where they stopped."""
    _change(webhook_id, "resume", {})


@webhooks.command()
def replay(
    webhook_id: Id,
    since: Annotated[
        str | None, typer.Option("--from", help="Time, such as 2026-11-23T10:00:00Z: the events since then.")
    ] = None,
    position: Annotated[
        list[str] | None, typer.Option(help="Offset of a partition, such as order-events/3@17; may be repeated.")
    ] = None,
) -> None:
    """Start the deliveries of a webhook again from a time, or from offsets; a later point skips events."""
    if (since is None) == (not position):
        raise Misconfigured("Give --from or --position.")
    body = {"from": since} if since else {"positions": dict(map(_position, position or ()))}
    _change(webhook_id, "replay", body)


def _position(text: str) -> tuple[str, int]:
    name, _, offset = text.rpartition("@")
    if not name or not offset.isdecimal():
        raise Misconfigured(f"--position has the form topic/partition@offset; {text!r} is not.")
    return name, int(offset)


def _change(webhook_id: str, verb: str, body: dict[str, Any]) -> None:
    found = _ask(lambda api: api.send("POST", _path(webhook_id, f"/{verb}"), body))
    typer.echo(f"webhook {found['id']} is {found['status']}")


def as_text(found: dict[str, Any]) -> str:
    """Return a webhook as text."""
    progress, reason = found["progress"], f": {found['reason']}" if found["reason"] else ""
    filters = {name: ", ".join(found[name]) for name in ("types", "customerIds", "locations") if found[name]}
    lines = [f"webhook {found['id']} is {found['status']}{reason}", f"  url          {found['url']}"]
    lines += [f"  {name:<12} {text}" for name, text in filters.items()]
    lines += [
        f"  last success {progress['lastSuccess'] or 'none yet'}",
        f"  waiting      {counted(progress['waiting'], 'event')}",
    ]
    for each in progress["waitingFor"]:
        lines.append(
            f"    {each['aggregateId']}: {counted(each['events'], 'event')} since {each['since']}, "
            f"{counted(each['attempts'], 'attempt')}, next at {each['nextAttempt']}: {each['error']}"
        )
    lines += [f"  {name}@{offset}" for name, offset in sorted(progress["positions"].items())]
    return "\n".join(lines)
