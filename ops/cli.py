"""The command line: the list of commands. What each does is elsewhere."""

import logging
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from ops.commands import explain, outcomes, produce, seed, trace
from ops.commands.audit import audit
from ops.commands.doctor import doctor
from ops.commands.letters import letters
from ops.commands.options import Json, load_settings
from ops.commands.projections import projections
from ops.commands.replay import replay
from ops.commands.skip import skip
from ops.commands.tail import tail
from ops.commands.transactions import transactions
from ops.errors import CommandFailed, external_failure
from streams.runtime.settings import ROLES


class Sentences(TyperGroup):
    """Commands whose expected failures are a sentence on stderr and an exit code, not a stack trace."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; turn what it raises on purpose, and what failed outside, into a sentence."""
        logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # what it meets is in our sentence
        try:
            return super().invoke(ctx)
        except CommandFailed as error:
            expected = error
        except Exception as error:
            if (outside := external_failure(error)) is None:
                raise
            expected = outside
        typer.echo(str(expected), err=True)
        raise typer.Exit(expected.exit_code) from None


cli = typer.Typer(
    cls=Sentences,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="An event-sourced order fulfilment service on Kafka and MongoDB.",
)
topics = typer.Typer(no_args_is_help=True, help="The Kafka topics.")
cli.add_typer(topics, name="topics")
cli.add_typer(letters, name="letters")
cli.add_typer(projections, name="projections")
cli.add_typer(transactions, name="transactions")


@cli.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="return when everything is ready")] = False,
    workers: Annotated[str, typer.Option(help="how many of a role, such as orders=2,api=2")] = "",
    wait: Annotated[float, typer.Option(help="seconds --detach waits until all is ready")] = 180.0,
) -> None:
    """Start Kafka, MongoDB and one process per role on this machine."""
    from ops.stack import detached as up

    (up.detached(load_settings(), workers, wait) if detach else up.foreground(load_settings(), workers))


@cli.command()
def down() -> None:
    """Stop everything `up` started."""
    from ops.stack.up import down

    ended = down(load_settings())
    typer.echo(f"stopped {ended} processes" if ended else "nothing was running")


@cli.command()
def restart(
    roles: Annotated[list[str] | None, typer.Argument(metavar="[ROLE]...", help=", ".join(ROLES))] = None,
    wait: Annotated[float, typer.Option(min=1, help="seconds each worker may take until it is ready")] = 60.0,
) -> None:
    """Restart the workers of some roles, or all, one after the other; exits 1 when one is not ready in time."""
    import asyncio

    from ops.stack.restart import restart

    count = asyncio.run(restart(load_settings(), roles or [], wait, typer.echo))
    typer.echo(f"restarted {count} workers")


@cli.command()
def status(
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="again and again, until Ctrl-C")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="seconds between two looks")] = 2.0,
) -> None:
    """Show what runs, what is ready and what is not handled yet; exits 1 unless all is ready."""
    import asyncio

    from ops.commands.tables import status_tables
    from ops.commands.watch import watch_status
    from ops.stack.state import refuse_strays
    from ops.stack.status import collect

    settings = load_settings()
    if watch:
        raise typer.Exit(0 if watch_status(settings, interval, json).ready else 1)
    found = asyncio.run(collect(settings))
    if json:
        typer.echo(found.as_json())
    elif found.processes:
        Console().print(status_tables(found, settings))
    else:
        refuse_strays(settings.data)
        typer.echo("nothing is running here; start it with `fulfillment up`")
    raise typer.Exit(0 if found.ready else 1)


@cli.command("settings")
def show_settings() -> None:
    """Show every setting: its environment variable, value, default and meaning."""
    from ops.commands.tables import settings_table

    Console().print(settings_table(load_settings()))


@cli.command()
def worker(
    role: Annotated[str, typer.Argument(help=", ".join(ROLES))],
    instance: Annotated[
        str | None, typer.Option(help="distinguishes workers of one role; stable over restarts")
    ] = None,
) -> None:
    """Run one worker of ROLE in this process."""
    from ops.worker import run

    run(role, load_settings(**({"instance": instance} if instance else {})))


@topics.command("create")
def create_topics() -> None:
    """Create the topics that are missing and let Kafka stamp all records; refuse topics that are not as needed."""
    import asyncio

    from ops.stack.up import ensure_topics

    created = asyncio.run(ensure_topics(load_settings()))
    typer.echo(f"created {', '.join(created)}" if created else "all topics exist")


@topics.command("adopt")
def adopt_topics() -> None:
    """Go on with topics that were deleted and created again; the workers that read them must be stopped."""
    import asyncio

    from ops.kafka.adopt import adopt

    typer.echo("\n".join(asyncio.run(adopt(load_settings()))) or "every topic is the one that was read")


@topics.command("list")
def list_topics() -> None:
    """List the topics."""
    import asyncio

    from ops.commands.tables import topics_table
    from streams.topics import describe_topics

    Console().print(topics_table(asyncio.run(describe_topics(load_settings()))))


OWN_FILES = (
    seed.seed, produce.produce, outcomes.outcomes, tail, explain.explain, trace.trace, doctor, audit, skip, replay,
)  # fmt: skip
for command in OWN_FILES:
    cli.command()(command)

if __name__ == "__main__":
    cli()
