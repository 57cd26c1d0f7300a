"""What a worker says of itself over HTTP: alive, ready, how far behind, and its metrics."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams import disk
from streams.app import RoleApp
from tables.letters import parked

from .entries import entries_page
from .metrics import ParkedLetters


async def reasons(app: RoleApp) -> list[str]:
    """Return why the worker is not ready; an empty list when it is."""
    consumer = app.consumer
    found = list(consumer.progress.stopped.values())
    if app.waiting_for:
        found.append(app.waiting_for)
    elif not await consumer.answered():
        found.append(f"Kafka is away: {app.settings.kafka} does not answer")
    if not consumer.prepared:
        found.append("partitions are being assigned or restored")
    if found and (full := disk.full(app.settings.data)):  # why what it waits for is away
        found.append(full)
    return found


def letters(app: RoleApp) -> dict[str, int]:
    """Return how many commands are parked, by topic; they make nothing unready: all others are handled."""
    tables = list(app.tables.values()) if app.consumer.prepared else []
    count = sum(parked(entries) for table in tables for entries in table.data.partitions.values())
    return {app.settings.named(app.input_topics[0].name): count} if count else {}


def pages(app: RoleApp) -> None:
    """Serve /livez, /readyz, /lag and /metrics on the worker's port."""
    entries_page(app)

    @app.page("/livez")
    async def livez(self: Any, request: Any) -> Any:
        return self.json({"live": True})

    @app.page("/readyz")
    async def readyz(self: Any, request: Any) -> Any:
        found = await reasons(app)
        partitions: dict[str, list[int]] = {}
        for tp in sorted(app.consumer.progress.handed if app.consumer.prepared else ()):
            partitions.setdefault(tp.topic, []).append(tp.partition)
        answer = {"ready": not found, "reasons": found, "partitions": partitions, "parked": letters(app)}
        return self.json(answer, status=503 if found else 200)

    @app.page("/lag")
    async def lag(self: Any, request: Any) -> Any:
        lag: dict[str, int] = {}
        for tp, count in (await app.consumer.lag() if app.consumer.prepared else {}).items():
            lag[tp.topic] = lag.get(tp.topic, 0) + count
        return self.json({"group": app.conf.id, "lag": lag})

    @app.page("/metrics")
    async def metrics(self: Any, request: Any) -> Any:
        return self.bytes(generate_latest(), content_type=CONTENT_TYPE_LATEST.split(";")[0])

    ParkedLetters(lambda: letters(app))
