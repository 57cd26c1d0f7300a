"""Which worker processes the stack runs, on which ports, with which settings."""

import os
import sys
from collections.abc import Mapping

from ops.errors import Misconfigured, Unavailable
from ops.stack import mongod, ports
from ops.stack.logs import log_of
from ops.stack.supervisor import Program
from streams.runtime.settings import ROLES, Settings

# A transaction's buffers are freed before the next one needs them. By default glibc gives them back to the system, and
# the same pages are faulted in again: 0.4 page faults a command, 0.08 with these thresholds.
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}  # bytes
DECIDING = ("orders", "inventory")  # roles that write such transactions


def allocator(role: str) -> dict[str, str]:
    """Return the variables for glibc's allocator in a worker of `role`; the environment's own take precedence."""
    return {name: os.environ.get(name, value) for name, value in ALLOCATOR.items()} if role in DECIDING else {}


def count_workers(text: str, roles: tuple[str, ...]) -> dict[str, int]:
    """Return how many workers of each of `roles` to run: one, or what "role=n,role=n" says."""
    counts = dict.fromkeys(roles, 1)
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, _, number = part.partition("=")
        if not number.isdecimal():
            raise Misconfigured(f"--workers is role=number[,role=number…], not {part!r}.")
        counts[role] = int(number)
    for role in counts:
        if role not in ROLES:
            raise Misconfigured(f"There is no role {role!r}: choose from {', '.join(ROLES)}.")
    return counts


def workers(settings: Settings, counts: Mapping[str, int]) -> list[Program]:
    """Return a program per worker; the first api gets `http_port`, the others the free ports after it."""
    taken, last = reserved(settings), settings.http_port
    programs = []
    for role in sorted(counts, key=lambda role: (role != "api", ROLES.index(role))):
        for instance in range(counts[role]):
            if (role, instance) == ("api", 0):
                port = _http_port(settings)
            else:
                port = last = ports.next_free(last, taken)
            programs.append(_worker(settings, role, instance, port))
    return programs


def environment(settings: Settings) -> dict[str, str]:
    """Return the variables that give a child the settings this process was given."""
    values = settings.model_dump(mode="json", include=settings.model_fields_set)
    texts = {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in values.items()}
    return {f"FULFILLMENT_{name.upper()}": text for name, text in texts.items() if values[name] is not None}


def _worker(settings: Settings, role: str, instance: int, port: int) -> Program:
    own = {"FULFILLMENT_INSTANCE": str(instance), "FULFILLMENT_WORKER_PORT": str(port)}
    return Program(
        name=f"{role}-{instance}",
        role=role,
        command=(sys.executable, "-m", "ops.worker", role),
        log=log_of(settings.data, f"{role}-{instance}"),
        port=port,
        environment={**environment(settings), **allocator(role), **own, "PYTHONUNBUFFERED": "1"},
    )


def _http_port(settings: Settings) -> int:
    if not ports.is_free(settings.http_port, settings.http_host):
        raise Unavailable(
            f"Port {settings.http_port} is in use by {ports.holder(settings.http_port)}, so the API cannot listen "
            "there: stop it, or set FULFILLMENT_HTTP_PORT to another port."
        )
    return settings.http_port


def reserved(settings: Settings) -> set[int]:
    """Return the ports that are spoken for although nothing may listen there yet."""
    places = ports.single(settings.kafka), mongod.address(settings.mongo)
    return {settings.http_port, *(place[1] for place in places if place)}
