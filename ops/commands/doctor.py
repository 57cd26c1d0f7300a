"""`fulfillment doctor`: look at everything an installation needs."""

import asyncio

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from ops.commands.options import Json, load_settings
from ops.doctor.finding import Finding
from streams.runtime.settings import Settings


def doctor(json: Json = False) -> None:
    """Check versions, ports, processes, topics, groups, indexes, clocks and disk; exits 1 and says what to do."""
    found = asyncio.run(examine(load_settings()))
    if json:
        typer.echo(orjson.dumps([{**each._asdict(), "well": each.well} for each in found]).decode())
    else:
        _show(found)
    raise typer.Exit(0 if all(each.well for each in found) else 1)


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything; what needs a server that is away is not looked at."""
    from ops.doctor import machine, stores
    from ops.doctor.unreadable import unreadable
    from projections.mongo.client import Mongo

    found = [*machine.versions(), *machine.disk(settings), *await machine.listening(settings)]
    away = {each.what for each in found if not each.well}
    found += await machine.processes(settings)
    if "Kafka" not in away:
        found += await stores.topics(settings)
        if all(each.well for each in found if each.what == "topics"):
            found += [*await stores.groups(settings), *await stores.transactions(settings)]
            found += [*await unreadable(settings), *await stores.letters(settings)]
    if "MongoDB" not in away:
        mongo = Mongo(settings)
        try:
            found += [*await stores.database(mongo), *await stores.readers(mongo), *await machine.clocks(mongo)]
        finally:
            await mongo.close()
    return found


def _show(found: list[Finding]) -> None:
    from ops.commands.tables import whole

    table = whole("", "what", "found", "what to do")
    for each in found:
        mark = "[green]ok[/]" if each.well else "[red]no[/]"
        table.add_row(mark, escape(each.what), escape(each.found), escape(each.remedy))
    Console().print(table)
    trouble = sum(not each.well for each in found)
    Console().print(f"{trouble} of {len(found)} need attention" if trouble else "all is well")
