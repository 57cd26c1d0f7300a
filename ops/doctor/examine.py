"""Check everything an installation needs."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from ops.doctor import machine, servers
from ops.doctor.finding import Finding
from ops.doctor.unreadable import unreadable
from projections.mongo.client import Mongo
from streams.runtime.settings import Settings

PATIENCE_SECONDS = 20.0  # longer than a starved process may be silent, or a group without its member
PAUSE_SECONDS = 1.0

Check = Callable[[], Awaitable[list[Finding]]]
Say = Callable[[str], None]


async def examine(settings: Settings, say: Say) -> list[Finding]:
    """Return what each check found; checks that need an unreachable server are left out.

    `say` is told once if checks are repeated, because a busy system may fail them.
    """
    return await patiently(lambda: _examine(settings), say)


async def patiently(check: Check, say: Say, patience: float = PATIENCE_SECONDS) -> list[Finding]:
    """Return what `check` finds; repeat it for `patience` seconds while slowness explains everything that is wrong."""
    began, said = time.monotonic(), False
    while True:
        found = await check()
        wrong = [each for each in found if not each.well]
        if not wrong or not all(each.may_pass for each in wrong) or time.monotonic() > began + patience:
            return found
        if not said:
            say(f"checking again for up to {patience:.0f} s: {', '.join(dict.fromkeys(each.what for each in wrong))}")
            said = True
        await asyncio.sleep(PAUSE_SECONDS)


async def _examine(settings: Settings) -> list[Finding]:
    found = [*machine.versions(), *machine.disk(settings), *await machine.listening(settings)]
    unreachable = {each.what for each in found if not each.well}
    found += await machine.processes(settings)
    if "Kafka" not in unreachable:
        found += await servers.topics(settings)
        if all(each.well for each in found if each.what == "topics"):
            found += [*await servers.groups(settings), *await servers.transactions(settings)]
            found += [*await unreadable(settings), *await servers.letters(settings), *await servers.webhooks(settings)]
    if "MongoDB" not in unreachable:
        mongo = Mongo(settings)
        try:
            found += [*await servers.database(mongo), *await servers.readers(mongo), *await machine.clocks(mongo)]
            found += [] if "Kafka" in unreachable else await servers.replaced(settings, mongo)
        finally:
            await mongo.close()
    return found
