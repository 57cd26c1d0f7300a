"""`fulfillment projections …`: versions of the read models."""

import asyncio
import json as jsons
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from ops.commands.options import Json, load_settings
from ops.commands.tables import whole
from streams.runtime.settings import Settings

projections = typer.Typer(no_args_is_help=True, help="Versions of the read models: built, compared, switched, retired.")
Name = Annotated[str, typer.Argument(help="of a projection, as `list` shows it")]
Force = Annotated[
    bool, typer.Option("--force", help="also when it lags, was not verified or is not known to running processes")
]
LISTED = 50  # differences


@projections.command("list")
def list_projections(json: Json = False) -> None:
    """List the projections and their versions: which is live, and how far behind the topic each is."""
    from ops.versions.listing import listing

    found = asyncio.run(listing(load_settings()))
    if json:
        typer.echo(jsons.dumps(found))
        return
    table = whole("projection", "version", "shape", "", "state", "not projected yet", "verified")
    for one in found:
        for version in one["versions"]:
            number = version["version"]
            role = "live" if number == one["live"] else "previous" if number == one["previous"] else ""
            state = f"{version['state']}: {version['reason']}" if version["reason"] else version["state"]
            cells = (one["name"], f"v{number}", str(version["shape"]), role, escape(state), f"{version['lag']:,}")
            table.add_row(*cells, _verified(version["verified"]))
        if not one["versions"]:
            table.add_row(one["name"], "", "", "", "not deployed", "", "")
    Console().print(table)


def _verified(verified: dict[str, Any] | None) -> str:
    if verified is None:
        return ""
    return f"{verified['documents']:,} documents, {verified['differences']:,} differ"


@projections.command("deploy")
def deploy_version(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="also when running processes do not know it")] = False,
) -> None:
    """Build a new version beside the live one, and keep it up to date; interrupted, it goes on where it was."""
    from ops.versions.deploy import deploy
    from ops.versions.readers import refuse_unattended
    from ops.versions.work import newest, work

    async def run(settings: Settings) -> str:
        async with work(settings, name) as here:
            shape = newest(name).shape
            if not force:
                await refuse_unattended(here, name, shape)
            return (await deploy(here, name, shape)).id

    built = _interruptible(run)
    typer.echo(
        f"{built} is built and kept up to date; next: fulfillment projections verify {name}, then promote {name}"
    )


@projections.command("verify")
def verify_version(
    name: Name,
    sample: Annotated[int | None, typer.Option(min=1, help="compare so many documents of each only")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="a field that may differ, such as unitCount")] = None,
    json: Json = False,
) -> None:
    """Compare the new version with the live one, document by document; exits 1 when they differ."""
    from ops.versions.verify import Comparison, verify
    from ops.versions.work import work

    async def run(settings: Settings) -> Comparison:
        async with work(settings, name) as here:
            return await verify(here, name, sample, ignore or [])

    found = _interruptible(run)
    if json:
        said = [{"collection": each.collection, "id": each.id, "what": each.what} for each in found.differences]
        typer.echo(jsons.dumps({"documents": found.documents, "differences": found.count, "differ": said}))
    else:
        for each in found.differences[:LISTED]:
            typer.echo(f"{each.collection} {each.id}: {each.what}")
        for note in found.notes:
            typer.echo(f"note: {note}")
        versions = f"{found.version.id} and {found.live.id}"
        typer.echo(f"{versions}: {found.documents:,} documents compared, {found.count:,} differ")
    raise typer.Exit(1 if found.count else 0)


@projections.command("promote")
def promote_version(name: Name, force: Force = False) -> None:
    """Let the API read the new version, all at once; refused while it lags or is not verified."""
    from ops.versions.switch import promote
    from ops.versions.work import work

    async def run(settings: Settings) -> str:
        async with work(settings, name) as here:
            after = await promote(here, name, force)
            return f"{name} v{after.live} is live" + (
                f"; v{after.previous} is kept up to date, to roll back to" if after.previous else ""
            )

    typer.echo(_interruptible(run))


@projections.command("rollback")
def roll_back_version(name: Name, force: Force = False) -> None:
    """Let the API read the version before again, at once."""
    from ops.versions.switch import roll_back
    from ops.versions.work import work

    async def run(settings: Settings) -> str:
        async with work(settings, name) as here:
            after = await roll_back(here, name, force)
            return f"{name} v{after.live} is live again; v{after.previous} is kept up to date"

    typer.echo(_interruptible(run))


@projections.command("retire")
def retire_version(
    name: Name, version: Annotated[int | None, typer.Option(help="this one only; else all that are not live")] = None
) -> None:
    """Drop versions that are not live, with their documents."""
    from ops.versions.switch import retire
    from ops.versions.work import work

    async def run(settings: Settings) -> list[int]:
        async with work(settings, name) as here:
            return await retire(here, name, version)

    gone = _interruptible(run)
    typer.echo(f"retired {', '.join(f'{name} v{each}' for each in gone)}" if gone else f"{name} has only what is live")


def _interruptible(run: Any) -> Any:
    """Run it to its end, or until Ctrl-C, and say that nothing is lost then."""
    settings = load_settings()
    try:
        return asyncio.run(run(settings))
    except KeyboardInterrupt:
        typer.echo("interrupted: nothing that is live was changed; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
