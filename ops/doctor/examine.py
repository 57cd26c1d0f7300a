"""Check everything an installation needs."""

from ops.doctor import machine, servers
from ops.doctor.finding import Finding
from ops.doctor.unreadable import unreadable
from projections.mongo.client import Mongo
from streams.runtime.settings import Settings


async def examine(settings: Settings) -> list[Finding]:
    """Return what each check found; checks that need an unreachable server are left out."""
    found = [*machine.versions(), *machine.disk(settings), *await machine.listening(settings)]
    unreachable = {each.what for each in found if not each.well}
    found += await machine.processes(settings)
    if "Kafka" not in unreachable:
        found += await servers.topics(settings)
        if all(each.well for each in found if each.what == "topics"):
            found += [*await servers.groups(settings), *await servers.transactions(settings)]
            found += [*await unreadable(settings), *await servers.letters(settings)]
    if "MongoDB" not in unreachable:
        mongo = Mongo(settings)
        try:
            found += [*await servers.database(mongo), *await servers.readers(mongo), *await machine.clocks(mongo)]
            found += [] if "Kafka" in unreachable else await servers.replaced(settings, mongo)
        finally:
            await mongo.close()
    return found
