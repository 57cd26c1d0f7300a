"""`fulfillment status --watch`: how the stack is, again and again."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress

import typer
from rich.console import Console, Group
from rich.live import Live

from ops.show import status_tables
from ops.status import Status, collect
from streams.settings import Settings


def watch_status(settings: Settings, interval: float, json: bool) -> Status:
    """Show the status every `interval` seconds until Ctrl-C, one line of JSON each time if asked; return the last."""
    last, console = Status([], {}), Console()
    with suppress(KeyboardInterrupt):
        if json or not console.is_terminal:
            for last in _looks(settings, interval):
                if json:
                    typer.echo(last.as_json())
                else:
                    console.print(status_tables(last, settings))
        else:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                for last in _looks(settings, interval):
                    live.update(_page(last, settings), refresh=True)
    return last


def _looks(settings: Settings, interval: float) -> Iterator[Status]:
    while True:
        yield asyncio.run(collect(settings))
        time.sleep(interval)


def _page(status: Status, settings: Settings) -> Group:
    if not status.processes:
        return Group("nothing is running here; start it with `fulfillment up`   Ctrl-C ends this")
    return Group(status_tables(status, settings), time.strftime("%H:%M:%S   Ctrl-C ends this"))
