"""`fulfillment replay`."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from ops.commands.audit import report_tables
from ops.commands.options import load_settings
from ops.commands.progress import progress
from ops.errors import Misconfigured
from ops.worker import arm
from streams.runtime.settings import Settings

TABLES, ALL = "tables", "all"


def replay(
    what: Annotated[str, typer.Argument(help="Name of a projection, `all` or `tables`.")],
    id: Annotated[
        str | None, typer.Option(help="Only this order or product: its documents are rewritten in place.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only orders and products with events since this time, such as 2026-11-23.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="With tables: compare their changelogs with the events.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="With tables: rebuild their changelogs from the events.")
    ] = False,
) -> None:
    """Rebuild a read model from offset zero while the live one serves, or compare and rebuild the workers' tables.

    Only documents or changelogs are written: no events, commands or outcomes. To resume after an interruption, run
    the same command again.
    """
    settings = load_settings()
    arm("replay")
    if what == TABLES:
        _tables(settings, verify, rebuild, id is not None or since is not None)
        return
    if verify or rebuild:
        raise Misconfigured("--verify and --rebuild need tables: run `fulfillment replay tables --verify`.")
    try:
        asyncio.run(_read_models(settings, what, id, since))
    except KeyboardInterrupt:
        typer.echo("interrupted: the live version is unchanged; run the command again to resume", err=True)
        raise typer.Exit(130) from None


async def _read_models(settings: Settings, what: str, id: str | None, since: str | None) -> None:
    from ops.replay.read_models import replay_some, replay_whole
    from ops.versions.work import newest
    from projections.table import PROJECTIONS

    names = [one.name for one in PROJECTIONS] if what == ALL else [newest(what).name]
    for name in names:
        if id is None and since is None:
            typer.echo(await replay_whole(settings, name, progress))
        elif what == ALL and newest(name).sums:
            typer.echo(f"{name}: left out, because its documents are about several orders; replay it as a whole")
        else:
            typer.echo(await replay_some(settings, name, id, since, progress))


def _tables(settings: Settings, verify: bool, rebuild: bool, some: bool) -> None:
    if verify == rebuild or some:
        raise Misconfigured(
            "Choose `fulfillment replay tables --verify` or `fulfillment replay tables --rebuild`, without --id and "
            "--since."
        )
    from ops.replay import tables

    if rebuild:
        for sentence in tables.rebuild(settings, progress):
            typer.echo(sentence)
    report = tables.verify(settings, progress)
    Console(highlight=False).print(report_tables(report))
    raise typer.Exit(0 if report.clean else 1)
