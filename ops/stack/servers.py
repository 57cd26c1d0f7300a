"""Kafka and MongoDB of the stack: started here, or servers that already run."""

import asyncio
import operator
import signal
from collections.abc import Callable, Sequence
from functools import partial

from tenacity import AsyncRetrying, retry_if_result, wait_fixed

from ops.errors import Unavailable
from ops.stack import kafka, mongod, ports
from ops.stack.cluster import Place, broker_only, kafka_places, ports_of
from ops.stack.folders import numbered
from ops.stack.logs import java_cause, last_lines, log_of
from ops.stack.state import Process
from ops.stack.supervisor import Child, Program, Supervisor
from streams.kafka.diagnosis import diagnose
from streams.runtime.settings import Settings

SERVERS = ("kafka", "mongod")
Say = Callable[[str], None]


async def start_kafka(settings: Settings, supervisor: Supervisor, say: Say, count: int = 1) -> None:
    """Start `count` brokers at `settings.kafka`; a single one may be running there already."""
    if count == 1 and await _use_external_kafka(settings, supervisor, say):
        return
    say(f"Kafka: starting on {settings.kafka}")
    places = kafka_places(settings)
    await _refuse_taken(places if count > 1 else (), "KAFKA")
    controllers = _next_free(places[-1][1], count, ports_of(settings))
    cluster = kafka.nodes(settings.data / "kafka", settings.kafka.split(","), controllers)
    commands = await asyncio.to_thread(kafka.commands, cluster)
    children = _start("kafka", commands, places, settings, supervisor)
    await asyncio.gather(
        *(
            _until(child, place, partial(kafka.answers, broker_only(settings, node.address), brokers=count))
            for child, place, node in zip(children, places, cluster, strict=True)
        )
    )


async def _use_external_kafka(settings: Settings, supervisor: Supervisor, say: Say) -> bool:
    place, ours = ports.single(settings.kafka), settings.kafka_security_protocol == "PLAINTEXT"  # as we start them
    if place is not None and ours and not await _is_taken("kafka", place, settings, lambda: kafka.answers(settings)):
        return False
    if place is None and not await asyncio.to_thread(kafka.answers, settings):
        numbered(settings.data / "kafka", 1, "--brokers")  # or they are ours, and nothing will start them
    say(f"Kafka: using {settings.kafka}")
    if (trouble := await diagnose(settings)) is not None:
        say(f"Kafka: {trouble}")
    await _await_external("kafka", place, supervisor, say, lambda: kafka.answers(settings))
    return True


async def start_mongod(settings: Settings, supervisor: Supervisor, say: Say, count: int = 1) -> None:
    """Start a mongod at `settings.mongo` or use the one that already runs there; or start a set of `count` nodes."""
    if count == 1 and await _use_external_mongod(settings, supervisor, say):
        return
    places = mongod.addresses(settings.mongo)
    say(f"MongoDB: starting on {', '.join(f'{host}:{port}' for host, port in places)}")
    await _refuse_taken(places if count > 1 else (), "MONGO")
    folders, name = (
        numbered(settings.data / "mongo", count, "--mongo-replicas"),
        mongod.REPLICA_SET if count > 1 else "",
    )
    commands = [
        await asyncio.to_thread(mongod.command, folder, *place, name)
        for folder, place in zip(folders, places, strict=True)
    ]
    children = _start("mongod", commands, places, settings, supervisor)
    for child, place in zip(children, places, strict=True):
        await _until(child, place, partial(mongod.answers, mongod.node_uri(place)))
    if count > 1:
        await asyncio.to_thread(mongod.form_set, places)
        await _repeat(lambda: mongod.has_primary(settings.mongo))


async def _use_external_mongod(settings: Settings, supervisor: Supervisor, say: Say) -> bool:
    place = mongod.address(settings.mongo)
    if place is not None and not await _is_taken("mongo", place, settings, lambda: mongod.answers(settings.mongo)):
        return False
    if place is None and not await asyncio.to_thread(mongod.answers, settings.mongo):
        numbered(settings.data / "mongo", 1, "--mongo-replicas")
    say("MongoDB: using the server in FULFILLMENT_MONGO")
    await _await_external("mongod", place, supervisor, say, lambda: mongod.answers(settings.mongo))
    return True


def _next_free(after: int, count: int, taken: set[int]) -> list[int]:
    found: list[int] = []
    for _ in range(count):
        found.append(ports.next_free(found[-1] if found else after, taken))
    return found


async def _refuse_taken(places: Sequence[Place], name: str) -> None:
    for host, port in places:
        if await asyncio.to_thread(ports.is_listening, host, port):
            raise Unavailable(
                f"Port {port} is in use by {ports.holder(port)}: stop it, or set FULFILLMENT_{name} to other addresses."
            )


def _start(
    role: str, commands: Sequence[tuple[str, ...]], places: Sequence[Place], settings: Settings, supervisor: Supervisor
) -> list[Child]:
    """Start the servers of a role: `kafka`, or `kafka-1`, `kafka-2` … if there are several."""
    names = [role] if len(places) == 1 else [f"{role}-{number}" for number in range(1, len(places) + 1)]
    return [
        supervisor.start(_server(role, name, command, port, settings))
        for name, command, (_, port) in zip(names, commands, places, strict=True)
    ]


def _server(role: str, name: str, command: tuple[str, ...], port: int, settings: Settings) -> Program:
    # An orphaned server gets SIGTERM: after a clean stop the next start needs no recovery. Several that stop at once
    # would wait for each other.
    orphan_signal = signal.SIGTERM if name == role else signal.SIGKILL
    return Program(name, role, command, log_of(settings.data, name), port, orphan_signal=orphan_signal)


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
    await _repeat(answers)


async def _repeat(holds: Callable[[], bool]) -> None:
    await AsyncRetrying(retry=retry_if_result(operator.not_), wait=wait_fixed(0.2))(asyncio.to_thread, holds)


async def _until(child: Child, place: tuple[str, int], answers: Callable[[], bool]) -> None:
    """Wait until `child` serves; Unavailable with the end of its log if it stops instead."""
    while not (ports.is_listening(*place) and await asyncio.to_thread(answers)):
        if child.record.restarts:
            log = child.program.log
            if cause := java_cause(log):
                raise Unavailable(f"{child.program.name} stopped immediately: {cause}. See {log}.")
            raise Unavailable(f"{child.program.name} stopped immediately. The end of {log}:\n{last_lines(log)}")
        await asyncio.sleep(0.05)
