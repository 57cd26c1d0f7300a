"""Record an installation of older code, for `test_upgrade.py`: `python tests/upgrade/record.py CHECKOUT`.

CHECKOUT is a clone of this repository at the older commit, with its own `.venv` (`make setup`).
"""

import gzip
import json
import lzma
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import upgrade_story as story
from confluent_kafka.admin import AdminClient
from upgrade_answers import answers
from upgrade_installation import Installation
from upgrade_records import Record, picked, records

RECORDED = Path(__file__).parent / "recorded"
PORT = 21_700
DECODERS = Path(__file__).parent / "upgrade_decoders.py"
KNOWN = """
import json; from domain import inventory, orders; from streams.letters import KINDS, LETTER_COMMANDS
print(json.dumps([*orders.COMMANDS, *inventory.COMMANDS, *orders.EVENTS, *inventory.EVENTS, *LETTER_COMMANDS, *KINDS]))
"""
# Files that the servers create again, and a journal of 100 MiB that is empty after a clean stop.
LEFT_OUT = ("kafka/format.log", "kafka/server.properties", "mongo/data/journal", "mongo/data/mongod.lock",
            "mongo/data/WiredTiger.lock")  # fmt: skip


def main() -> None:
    """Run the story on the older code and pack the data it leaves."""
    checkout = Path(sys.argv[1]).absolute()
    commit = _git(checkout, "rev-parse", "HEAD")
    into = RECORDED / commit[:7]
    into.mkdir(parents=True, exist_ok=True)
    pack_code(checkout, into)
    with tempfile.TemporaryDirectory() as folder:
        it = Installation(checkout, checkout / ".venv/bin/python", Path(folder) / "data", PORT)
        try:
            recorded = _tell(it, commit, into)
        finally:
            it.run("down", check=False)
        _write(into / "answers.json.gz", recorded)
        with tarfile.open(into / "installation.tar.xz", "w:xz", preset=9 | lzma.PRESET_EXTREME) as archive:
            for store in ("kafka", "mongo"):
                archive.add(it.data / store, store, filter=_packed)
    print(*(f"{each.name}: {each.stat().st_size:,} bytes" for each in sorted(into.iterdir())), sep="\n")


def pack_code(checkout: Path, into: Path) -> None:
    """Pack the modules that a checkout's package consists of, for `test_rolling_update.py`."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    files = _git(checkout, "ls-files", "--", *(f"{package}/**.py" for package in packages)).splitlines()
    with tarfile.open(into / "code.tar.xz", "w:xz", preset=9 | lzma.PRESET_EXTREME) as archive:
        for file in sorted(files):
            archive.add(checkout / file, file, filter=_timeless)


def _timeless(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = 0
    return _without_owner(entry)


def _tell(it: Installation, commit: str, into: Path) -> dict[str, Any]:
    it.run("up", "--detach")
    only = (story.only_accepted_by_1e1ad36,) if commit.startswith("1e1ad36") else ()
    for part in (story.over_http, *only, story.over_kafka_only, story.large, story.identities, story.over_kafka):
        part(it)
        it.quiet()
    it.run("down")
    it.run("up", "--detach", FULFILLMENT_FAULTS=story.FAULTS)
    story.bugs(it)
    it.run("down")
    it.run("up", "--detach")
    story.operators(it)
    it.quiet()
    found = records(it)
    if missing := set(json.loads(_python(it, KNOWN))) - _types(found):
        raise SystemExit(f"nothing of these types was recorded: {sorted(missing)}")
    _write(into / "messages.json.gz", _with_decoded(it, picked(found)))
    commands = sorted({each["data"]["commandId"] for each in _messages(found, "command-outcomes")})
    recorded = {"audit": json.loads(it.run("audit", "--json", check=False)), "answers": answers(it, commands)}
    recorded["commit"] = commit
    it.run("down")
    it.run("up", "--detach", "--workers", "inventory=2,fulfilment=2", FULFILLMENT_SESSION_TIMEOUT="180")
    story.left_undone(it)
    it.run("down")
    _forget_members(it)
    return recorded


def _types(found: list[Record]) -> set[str]:
    """Return the types of all messages and the kinds of all letters."""
    types = set()
    for message in _messages(found):
        types |= {message.get("type"), message["data"].get("kind")}
    return types


def _messages(found: list[Record], topic: str = "") -> Iterator[dict[str, Any]]:
    for record in found:
        if record["topic"].startswith(topic) and not record["topic"].endswith("changelog"):
            with suppress(ValueError, TypeError):
                message = json.loads(record["value"])
                if isinstance(message, dict) and isinstance(message.get("data"), dict):
                    yield message


def _forget_members(it: Installation) -> None:
    """Wait until the broker no longer waits for the workers that were killed, and stop it."""
    it.run("up", "--detach", FULFILLMENT_ROLES="")
    admin = AdminClient({"bootstrap.servers": it.kafka})

    def empty() -> bool:
        found = admin.describe_consumer_groups(["orders", "inventory", "fulfilment"])
        return all(not group.result(120).members for group in found.values())

    it.wait(empty, "the groups to be empty", 400)
    it.run("down")


def _packed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if entry.name.startswith(LEFT_OUT) else _without_owner(entry)


def _without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _with_decoded(it: Installation, kept: list[Record]) -> list[Record]:
    """Return records with what the code reads in each, and what it writes for it where that differs."""
    found = json.loads(_python(it, DECODERS.read_text(), json.dumps(kept)))
    for record, read in zip(kept, found, strict=True):
        record["decoded"] = read["decoded"]
        if read["encoded"] != record["value"]:
            record["encoded"] = read["encoded"]
    return kept


def _write(path: Path, content: Any) -> None:
    with gzip.GzipFile(path, "wb", mtime=0) as file:
        file.write(json.dumps(content, indent=1).encode())


def _python(it: Installation, code: str, given: str = "") -> str:
    """Run `code` in the checkout and return what it prints."""
    run = [str(it.python), "-c", code]
    done = subprocess.run(run, cwd=it.checkout, input=given, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def _git(checkout: Path, *arguments: str) -> str:
    git = shutil.which("git") or "git"
    return subprocess.run([git, *arguments], cwd=checkout, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
