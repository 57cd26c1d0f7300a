"""Free ports, and the processes that hold ports."""

import socket
from collections.abc import Iterable

import psutil

from ops.errors import Misconfigured

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def is_listening(host: str, port: int) -> bool:
    """Return whether a process accepts connections at `host`:`port`."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server can bind `port` now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def next_free(after: int, taken: Iterable[int] = ()) -> int:
    """Return the first free port above `after` that is not in `taken`."""
    avoid = set(taken)
    return next(port for port in range(after + 1, 65536) if port not in avoid and is_free(port))


def holder(port: int) -> str:
    """Return the name of the process that listens on `port`, as far as this user may see it."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return "another process"
    pids = [c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid]
    try:
        return f"{psutil.Process(pids[0]).name()} (pid {pids[0]})" if pids else "another process"
    except psutil.Error:
        return "another process"


def single(bootstrap: str) -> tuple[str, int] | None:
    """Return host and port of a Kafka address; None if it lists several servers."""
    return None if "," in bootstrap else host_port(bootstrap)


def host_port(address: str) -> tuple[str, int]:
    """Return host and port of one Kafka server."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise Misconfigured(f"FULFILLMENT_KAFKA: {address!r} is not host:port[,host:port…].")
    return host.strip("[]"), int(port)
