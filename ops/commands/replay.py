"""`fulfillment replay`: read models and tables, made of the event topics again."""

import asyncio
from typing import Annotated, Any

import typer

from ops.commands.options import load_settings
from ops.errors import Misconfigured
from ops.worker import arm
from streams.runtime.settings import Settings

TABLES, ALL = "tables", "all"


def replay(
    what: Annotated[str, typer.Argument(help="a projection, `all` of them, or `tables`")],
    id: Annotated[str | None, typer.Option(help="one order or product only: its documents are written anew")] = None,
    since: Annotated[str | None, typer.Option(help="only those with events since a time, such as 2026-11-23")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="tables: compare their changelogs with the events")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="tables: write their changelogs anew")] = False,
) -> None:
    """Make a read model again from offset zero, while the live one serves; or compare and rebuild the workers' tables.

    Nothing but documents, or changelogs, is written: no events, no commands, no outcomes. Interrupted, the same command
    goes on where it was.
    """
    settings = load_settings()
    arm("replay")
    if what == TABLES:
        _tables(settings, verify, rebuild, id is not None or since is not None)
        return
    if verify or rebuild:
        raise Misconfigured("--verify and --rebuild are about tables: `fulfillment replay tables --verify`.")
    try:
        asyncio.run(_read_models(settings, what, id, since))
    except KeyboardInterrupt:
        typer.echo("interrupted: what is live serves as before; the same command goes on from here", err=True)
        raise typer.Exit(130) from None


async def _read_models(settings: Settings, what: str, id: str | None, since: str | None) -> None:
    from ops.replay.whole import replay_some, replay_whole
    from ops.versions.work import newest
    from projections.table import PROJECTIONS

    names = [one.name for one in PROJECTIONS] if what == ALL else [newest(what).name]
    for name in names:
        if id is None and since is None:
            typer.echo(await replay_whole(settings, name))
        elif what == ALL and newest(name).sums:
            typer.echo(f"{name}: left out, its documents are of many orders: replay it whole")
        else:
            typer.echo(await replay_some(settings, name, id, since))


def _tables(settings: Settings, verify: bool, rebuild: bool, some: bool) -> None:
    if verify == rebuild or some:
        raise Misconfigured("Say `fulfillment replay tables --verify` or `fulfillment replay tables --rebuild`.")
    from ops.replay import tables

    run: Any = tables.verify if verify else tables.rebuild
    raise typer.Exit(0 if run(settings, typer.echo) else 1)
