"""Kafka and MongoDB of the stack: started here, or servers that already run."""

import asyncio
import operator
import signal
from collections.abc import Callable

from tenacity import AsyncRetrying, retry_if_result, wait_fixed

from ops.errors import Unavailable
from ops.stack import kafka, mongod, ports
from ops.stack.logs import java_cause, last_lines, log_of
from ops.stack.state import Process
from ops.stack.supervisor import Child, Program, Supervisor
from ops.stack.workers import reserved
from streams.runtime.settings import Settings

SERVERS = ("kafka", "mongod")
Say = Callable[[str], None]


async def start_kafka(settings: Settings, supervisor: Supervisor, say: Say) -> None:
    """Start a broker at `settings.kafka`, or wait for the one that already runs there."""
    place = ports.single(settings.kafka)
    if place is None or await _is_taken("kafka", place, settings, lambda: kafka.answers(settings)):
        say(f"Kafka: using {settings.kafka}")
        return await _await_external("kafka", place, supervisor, say, lambda: kafka.answers(settings))
    say(f"Kafka: starting on {settings.kafka}")
    controller = ports.next_free(place[1], reserved(settings))
    command = await asyncio.to_thread(kafka.command, settings.data / "kafka", settings.kafka, controller)
    program = _server("kafka", command, place[1], settings)
    await _until(supervisor.start(program), place, lambda: kafka.answers(settings))


async def start_mongod(settings: Settings, supervisor: Supervisor, say: Say) -> None:
    """Start a mongod at `settings.mongo`, or wait for the one that already runs there."""
    place = mongod.address(settings.mongo)
    if place is None or await _is_taken("mongo", place, settings, lambda: mongod.answers(settings.mongo)):
        say("MongoDB: using the server in FULFILLMENT_MONGO")
        return await _await_external("mongod", place, supervisor, say, lambda: mongod.answers(settings.mongo))
    say(f"MongoDB: starting on {place[0]}:{place[1]}")
    command = await asyncio.to_thread(mongod.command, settings.data / "mongo", *place)
    program = _server("mongod", command, place[1], settings)
    await _until(supervisor.start(program), place, lambda: mongod.answers(settings.mongo))


def _server(role: str, command: tuple[str, ...], port: int, settings: Settings) -> Program:
    # orphaned servers get SIGTERM: after a clean stop the next start needs no recovery
    return Program(role, role, command, log_of(settings.data, role), port, orphan_signal=signal.SIGTERM)


async def _is_taken(field: str, place: tuple[str, int], settings: Settings, answers: Callable[[], bool]) -> bool:
    """Return whether to use the server at `place` (True) or to start one there (False)."""
    host, port = place
    if host not in ports.LOOPBACK:
        return True
    if not ports.is_listening(host, port):
        return False
    speaks, variable = await asyncio.to_thread(answers), f"FULFILLMENT_{field.upper()}"
    if speaks and field in settings.model_fields_set:
        return True
    use = f", or set {variable}={getattr(settings, field)} to use that server" if speaks else ""
    taken = f"Port {port} is in use by {ports.holder(port)}"
    raise Unavailable(f"{taken}: stop it, or set {variable} to an address with another port{use}.")


async def _await_external(
    role: str, place: tuple[str, int] | None, supervisor: Supervisor, say: Say, answers: Callable[[], bool]
) -> None:
    supervisor.external(Process(name=role, role=role, port=place[1] if place else None, state="external"))
    if not await asyncio.to_thread(answers):
        say(f"{role}: waiting for an answer")
    await AsyncRetrying(retry=retry_if_result(operator.not_), wait=wait_fixed(0.2))(asyncio.to_thread, answers)


async def _until(child: Child, place: tuple[str, int], answers: Callable[[], bool]) -> None:
    """Wait until `child` serves; Unavailable with the end of its log if it stops instead."""
    while not (ports.is_listening(*place) and await asyncio.to_thread(answers)):
        if child.record.restarts:
            log = child.program.log
            if cause := java_cause(log):
                raise Unavailable(f"{child.program.name} stopped immediately: {cause}. See {log}.")
            raise Unavailable(f"{child.program.name} stopped immediately. The end of {log}:\n{last_lines(log)}")
        await asyncio.sleep(0.05)
