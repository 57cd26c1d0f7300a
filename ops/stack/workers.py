"""The worker processes of the stack: their number, ports and environment."""

import os
import sys
from collections.abc import Mapping

from pydantic import SecretStr

from ops.errors import Misconfigured, Unavailable
from ops.stack import ports
from ops.stack.cluster import ports_of
from ops.stack.logs import log_of
from ops.stack.supervisor import Program
from streams.runtime.settings import ROLES, Settings

# The buffers of a transaction are freed before the next one allocates its own. By default glibc returns them to the
# system, and the same pages are faulted in again: 0.4 page faults for each command, and 0.08 with these thresholds.
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}  # bytes
DECIDING = ("orders", "inventory")  # the roles that write such transactions


def allocator(role: str) -> dict[str, str]:
    """Return the glibc allocator settings for a worker of `role`; variables of the environment take precedence."""
    return {name: os.environ.get(name, value) for name, value in ALLOCATOR.items()} if role in DECIDING else {}


def count_workers(text: str, roles: tuple[str, ...]) -> dict[str, int]:
    """Return the number of workers for each of `roles`: one, or the number in "role=n,role=n"."""
    counts = dict.fromkeys(roles, 1)
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, _, number = part.partition("=")
        if not number.isdecimal():
            raise Misconfigured(f"--workers has the form role=number[,role=number…]; {part!r} is not.")
        counts[role] = int(number)
    for role in counts:
        if role not in ROLES:
            raise Misconfigured(f"There is no role {role!r}: choose from {', '.join(ROLES)}.")
    return counts


def workers(settings: Settings, counts: Mapping[str, int]) -> list[Program]:
    """Return a program for each worker; the first api gets `http_port`, the others get the next free ports."""
    taken, last = ports_of(settings), settings.http_port
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
    """Return the variables that pass this process's settings to a child."""
    values = settings.model_dump(mode="json", include=settings.model_fields_set)
    values |= {name: settings.secret(name) for name in values if isinstance(getattr(settings, name), SecretStr)}
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
            f"Port {settings.http_port} is in use by {ports.holder(settings.http_port)}, and the API needs it: "
            "stop that process, or set FULFILLMENT_HTTP_PORT to another port."
        )
    return settings.http_port
