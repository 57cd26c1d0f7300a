"""`fulfillment status`."""

import asyncio
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from threading import Event
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from ops.commands.options import Json, load_settings
from ops.commands.tables import table
from ops.stack import state
from ops.stack.status import Lag, Status, Unassigned, collect_all
from streams.runtime import disk
from streams.runtime.settings import Settings

COLOURS = {"ready": "green", "external": "green", "restarting": "red", "stopped": "red"}
NOTHING = "Nothing is running here. Start it with `fulfillment up`."


def status(
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Repeat until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two updates.")] = 2.0,
) -> None:
    """Show what runs, what is ready and how far each role lags; exit with 1 unless everything is ready."""
    settings = load_settings()
    if watch:
        raise typer.Exit(0 if watch_status(settings, interval, json).ready else 1)
    found = asyncio.run(collect_all(settings))
    if json:
        typer.echo(found.as_json())
    elif found.processes:
        Console().print(report(found, settings))
    else:
        state.refuse_strays(settings.data)
        typer.echo(NOTHING)
    raise typer.Exit(0 if found.ready else 1)


def watch_status(settings: Settings, interval: float, json: bool) -> Status:
    """Show the status every `interval` seconds until Ctrl-C, as one line of JSON if asked; return the last one.

    Ctrl-C sets a flag instead of raising an exception, which Python drops in some places.
    """
    last, console, stop = Status([], {}), Console(), Event()
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        if json or not console.is_terminal:
            for last in _statuses(settings, interval, stop):
                if json:
                    typer.echo(last.as_json())
                else:
                    console.print(report(last, settings))
        else:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                for last in _statuses(settings, interval, stop):
                    live.update(_page(last, settings), refresh=True)
    finally:
        signal.signal(signal.SIGINT, before)
    return last


def _statuses(settings: Settings, interval: float, stop: Event) -> Iterator[Status]:
    yield asyncio.run(collect_all(settings))
    while not stop.wait(interval):
        yield asyncio.run(collect_all(settings))


def _page(status: Status, settings: Settings) -> Group:
    if not status.processes:
        return Group(f"{NOTHING} Ctrl-C ends this display.")
    return Group(report(status, settings), time.strftime("%H:%M:%S, Ctrl-C ends this display"))


def report(status: Status, settings: Settings) -> Group:
    """Return the processes, the lag, and in full sentences why a process is not ready; it fits in 80 columns."""
    parts: list[RenderableType] = [_processes(status)]
    if status.lag:
        parts.append(_lag(status.lag))
    parts += [*_unassigned(status.unassigned), *_reasons(status)]
    if status.topics:
        parts += ["topics:", *(Padding(escape(each), (0, 0, 1, 2)) for each in status.topics)]
    parts.append(f"logs: {settings.data / 'logs'}")
    if full := disk.full(settings.data):
        parts.append(full)
    return Group(*parts)


def _processes(status: Status) -> Table:
    found = table("process", "state", "pid", "port", "restarts", "up for")
    for process, condition, *_ in status.processes:
        colour = COLOURS.get(condition, "yellow")
        cells = (process.name, f"[{colour}]{condition}[/]", process.pid or "", process.port or "", process.restarts)
        found.add_row(*map(str, cells), _uptime(process))
    return found


def _uptime(process: state.Process) -> str:
    running = state.running(process)
    return str(timedelta(seconds=int(time.time() - running.create_time()))) if running else ""


def _lag(lag: Lag) -> Table:
    found = table("group", "topic", "lag")
    found.columns[-1].justify = "right"
    for group, topics in sorted(lag.items()):
        for topic, messages in sorted(topics.items()):
            found.add_row(group, topic, f"{messages:,}")
    return found


def _unassigned(groups: Unassigned) -> Iterator[RenderableType]:
    """Yield the partitions whose lag the table above does not contain."""
    for group, topics in sorted(groups.items()):
        yield f"{group}: no worker of this stack has"
        for topic, numbers in sorted(topics.items()):
            yield Padding(f"{topic}: partitions {', '.join(map(str, numbers))}", (0, 0, 0, 2))
    if groups:
        yield "They are being assigned, or a worker elsewhere has them; `fulfillment doctor` asks Kafka for their lag."


def _reasons(status: Status) -> Iterator[RenderableType]:
    """Yield each reason once, with the processes that report it."""
    names: dict[str, list[str]] = {}
    for each in status.processes:
        for reason in each.reasons:
            names.setdefault(reason, []).append(each.process.name)
    for reason, processes in names.items():
        yield f"{', '.join(processes)}:"
        yield Padding(escape(reason), (0, 0, 1, 2))
