"""`fulfillment status --watch`: how the stack is, again and again.

Ctrl-C sets a flag instead of raising an exception, which could come up in a place where Python drops it.
"""

import asyncio
import signal
import time
from collections.abc import Iterator
from threading import Event

import typer
from rich.console import Console, Group
from rich.live import Live

from ops.commands.tables import status_tables
from ops.stack.status import Status, collect
from streams.runtime.settings import Settings


def watch_status(settings: Settings, interval: float, json: bool) -> Status:
    """Show the status every `interval` seconds until Ctrl-C, one line of JSON each time if asked; return the last."""
    last, console, stop = Status([], {}), Console(), Event()
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        if json or not console.is_terminal:
            for last in _looks(settings, interval, stop):
                if json:
                    typer.echo(last.as_json())
                else:
                    console.print(status_tables(last, settings))
        else:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                for last in _looks(settings, interval, stop):
                    live.update(_page(last, settings), refresh=True)
    finally:
        signal.signal(signal.SIGINT, before)
    return last


def _looks(settings: Settings, interval: float, stop: Event) -> Iterator[Status]:
    yield asyncio.run(collect(settings))
    while not stop.wait(interval):
        yield asyncio.run(collect(settings))


def _page(status: Status, settings: Settings) -> Group:
    if not status.processes:
        return Group("nothing is running here; start it with `fulfillment up`   Ctrl-C ends this")
    return Group(status_tables(status, settings), time.strftime("%H:%M:%S   Ctrl-C ends this"))
