"""`fulfillment up`."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from ops.commands.options import load_settings
from streams.runtime.settings import Settings


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when everything is ready.")] = False,
    workers: Annotated[str, typer.Option(help="Workers per role, for example orders=2,api=2.")] = "",
    brokers: Annotated[int, typer.Option(min=1, help="Kafka brokers; 3 keep every message on three.")] = 1,
    mongo_replicas: Annotated[int, typer.Option(min=1, help="MongoDB nodes; several form a replica set.")] = 1,
    wait: Annotated[float, typer.Option(help="Seconds that --detach waits for everything to be ready.")] = 180.0,
) -> None:
    """Start Kafka, MongoDB and one process per role on this machine."""
    from ops.stack import background
    from ops.stack import up as stack
    from ops.stack.cluster import Size
    from ops.stack.workers import count_workers

    settings, console = load_settings(), Console(highlight=False, soft_wrap=True)
    size = Size(brokers, mongo_replicas)

    def say(line: str) -> None:
        console.print(line, markup=False)
        if line.startswith("ready after"):
            console.print(where(settings), markup=False)

    if detach:
        background.start(settings, workers, wait, say, size)
    else:
        asyncio.run(stack.run(settings, count_workers(workers, settings.roles), say, size))
        say("stopped")


def where(settings: Settings) -> str:
    """Return where the API and the logs are, and how to stop the stack."""
    host = f"[{settings.http_host}]" if ":" in settings.http_host else settings.http_host
    return f"API: http://{host}:{settings.http_port}   logs: {settings.data / 'logs'}   stop: fulfillment down"
