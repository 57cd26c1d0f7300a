"""`fulfillment projections`."""

import asyncio
import json as jsons
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.commands.auditing import record
from ops.commands.options import Json, load_settings
from ops.commands.progress import progress
from ops.commands.tables import table
from ops.versions.work import Work
from streams.wording import counted

T = TypeVar("T")

projections = typer.Typer(no_args_is_help=True, help="Build, compare, promote and retire versions of the read models.")
Name = Annotated[str, typer.Argument(help="Name of a projection, as `list` shows it.")]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Switch even if the version lags, is not verified or is unknown to running processes."
    ),
]
LISTED = 50  # differences


@projections.command("list")
def list_projections(json: Json = False) -> None:
    """List the projections and their versions: which is live, and how far each lags behind its topic."""
    from ops.versions.listing import listing

    found = asyncio.run(listing(load_settings()))
    if json:
        typer.echo(jsons.dumps(found))
    else:
        Console().print(_table(found))


def _table(found: list[dict[str, Any]]) -> Table:
    shown = table("projection", "version", "shape", "", "state", "lag", "verified")
    for one in found:
        for version in one["versions"]:
            number = version["version"]
            role = "live" if number == one["live"] else "previous" if number == one["previous"] else ""
            state = f"{version['state']}: {version['reason']}" if version["reason"] else version["state"]
            cells = (one["name"], f"v{number}", str(version["shape"]), role, escape(state), f"{version['lag']:,}")
            shown.add_row(*cells, _verified(version["verified"]))
        if not one["versions"]:
            shown.add_row(one["name"], "", "", "", "not deployed", "", "")
    return shown


def _verified(verified: dict[str, Any] | None) -> str:
    if verified is None:
        return ""
    return f"{counted(verified['documents'], 'document')}, {verified['differences']:,} differ"


@projections.command("deploy")
def deploy_version(
    name: Name,
    force: Annotated[
        bool, typer.Option("--force", help="Build even if running processes do not know the version.")
    ] = False,
) -> None:
    """Build a new version beside the live one and keep it up to date; an interrupted build can be resumed."""
    from ops.versions.deploy import deploy
    from ops.versions.readers import refuse_unattended
    from ops.versions.work import newest

    async def run(here: Work) -> tuple[str, str]:
        shape = newest(name).shape
        if not force:
            await refuse_unattended(here, name, shape)
        built = (await deploy(here, name, shape)).id
        is_first = (await here.registry.get(name)).live is None
        return built, f"promote {name}" if is_first else f"verify {name}, then promote {name}"

    record(load_settings(), "deploy read model", name, force=force or None)
    built, following = _interruptible(name, run)
    typer.echo(f"{built} is built and kept up to date; next: fulfillment projections {following}")


@projections.command("verify")
def verify_version(
    name: Name,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Compare only this number of documents per version.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Field that may differ, for example unitCount.")] = None,
    json: Json = False,
) -> None:
    """Compare the new version with the live one, document by document; exit with 1 if they differ."""
    from ops.pool import waiting
    from ops.versions.verify import verify

    with waiting() as forked:
        found = _interruptible(name, lambda here: verify(here, name, sample, ignore or [], forked=forked))
    if json:
        differ = [{"collection": each.collection, "id": each.id, "what": each.what} for each in found.differences]
        typer.echo(jsons.dumps({"documents": found.documents, "differences": found.count, "differ": differ}))
    else:
        for each in found.differences[:LISTED]:
            typer.echo(f"{each.collection} {each.id}: {each.what}")
        for note in found.notes:
            typer.echo(f"note: {note}")
        versions = f"{found.version.id} and {found.live.id}"
        typer.echo(f"{versions}: {counted(found.documents, 'document')} compared, {found.count:,} differ")
    raise typer.Exit(1 if found.count else 0)


@projections.command("promote")
def promote_version(name: Name, force: Force = False) -> None:
    """Switch the API to the new version; refused if it lags or is not verified."""
    from ops.versions.switch import promote

    record(load_settings(), "promote read model", name, force=force or None)
    after = _interruptible(name, lambda here: promote(here, name, force))
    kept = f"; v{after.previous} is kept up to date for a rollback" if after.previous else ""
    typer.echo(f"{name} v{after.live} is live{kept}")


@projections.command("rollback")
def roll_back_version(name: Name, force: Force = False) -> None:
    """Switch the API back to the previous version."""
    from ops.versions.switch import roll_back

    record(load_settings(), "roll back read model", name, force=force or None)
    after = _interruptible(name, lambda here: roll_back(here, name, force))
    typer.echo(f"{name} v{after.live} is live again; v{after.previous} is kept up to date")


@projections.command("retire")
def retire_version(
    name: Name,
    version: Annotated[
        int | None, typer.Option(help="Only this version; by default, all versions that are not live.")
    ] = None,
) -> None:
    """Delete versions that are not live, with their documents."""
    from ops.versions.switch import retire

    record(load_settings(), "retire read model", name, version=version)
    retired = _interruptible(name, lambda here: retire(here, name, version))
    versions = ", ".join(f"{name} v{each}" for each in retired)
    typer.echo(f"retired {versions}" if retired else f"{name} has no version to retire")


def _interruptible(name: str, run: Callable[[Work], Awaitable[T]]) -> T:
    """Run work on the versions of a projection; if it is interrupted, print that nothing is lost."""
    from ops.versions.work import work

    settings = load_settings()

    async def done() -> T:
        async with work(settings, name, progress) as here:
            return await run(here)

    try:
        return asyncio.run(done())
    except KeyboardInterrupt:
        typer.echo("interrupted: the live version is unchanged; run the command again to resume", err=True)
        raise typer.Exit(130) from None
