"""Record an installation of older code, for `test_upgrade.py`: `python tests/upgrade/record.py CHECKOUT`.

CHECKOUT is a clone of this repository at the older commit, with its own `.venv` (`make setup`).
"""

import gzip
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import upgrade_story as story
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from upgrade_answers import answers
from upgrade_installation import PARTITIONS, Installation

RECORDED = Path(__file__).parent / "recorded"
PORT = 21_700
TOPICS = ("order-commands", "inventory-commands", "order-events", "inventory-events", "command-outcomes",
          "dead-letters")  # fmt: skip
KNOWN = """
import json; from domain import inventory, orders; from streams.letters import KINDS, LETTER_COMMANDS
print(json.dumps([*orders.COMMANDS, *inventory.COMMANDS, *orders.EVENTS, *inventory.EVENTS, *LETTER_COMMANDS, *KINDS]))
"""
# What the servers write again, and a journal of 100 MiB that is empty after a clean stop.
LEFT_OUT = ("kafka/format.log", "kafka/server.properties", "mongo/data/journal", "mongo/data/mongod.lock",
            "mongo/data/WiredTiger.lock")  # fmt: skip


def main() -> None:
    """Run the story on the older code and pack the data it leaves."""
    checkout = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory() as folder:
        it = Installation(checkout, checkout / ".venv/bin/python", Path(folder) / "data", PORT)
        try:
            recorded = _tell(it)
        finally:
            it.run("down", check=False)
        recorded["commit"] = _git(checkout, "rev-parse", "HEAD")
        RECORDED.mkdir(exist_ok=True)
        with gzip.GzipFile(RECORDED / "answers.json.gz", "wb", mtime=0) as file:
            file.write(json.dumps(recorded, ensure_ascii=False, indent=1).encode())
        with tarfile.open(RECORDED / "installation.tar.xz", "w:xz", preset=9) as archive:
            for store in ("kafka", "mongo"):
                archive.add(it.data / store, store, filter=_packed)
    print(*(f"{each.name}: {each.stat().st_size:,} bytes" for each in sorted(RECORDED.iterdir())), sep="\n")


def _tell(it: Installation) -> dict[str, Any]:
    it.run("up", "--detach")
    for part in (story.over_http, story.accepted_today, story.identities, story.over_kafka):
        part(it)
        it.quiet()
    it.run("down")
    it.run("up", "--detach", FULFILLMENT_FAULTS=story.FAULTS)
    story.bugs(it)
    it.run("down")
    it.run("up", "--detach")
    story.operators(it)
    it.quiet()
    types, commands = _contents(it)
    if missing := set(json.loads(_python(it, KNOWN))) - types:
        raise SystemExit(f"nothing of these types was recorded: {sorted(missing)}")
    recorded = {"audit": json.loads(it.run("audit", "--json", check=False)), "answers": answers(it, commands)}
    it.run("down")
    it.run("up", "--detach", "--workers", "inventory=2", FULFILLMENT_SESSION_TIMEOUT="60")
    story.left_undone(it)
    it.run("down")
    _forget_members(it)
    return recorded


def _contents(it: Installation) -> tuple[set[str], list[str]]:
    """Return the types of all messages and kinds of all letters on the topics, and the ids of answered commands."""
    reader = Consumer({"bootstrap.servers": it.kafka, "group.id": "recorder", "enable.auto.commit": False,
                       "isolation.level": "read_committed", "enable.partition.eof": True})  # fmt: skip
    places = [TopicPartition(topic, partition, 0) for topic in TOPICS for partition in range(PARTITIONS)]
    reader.assign(places)
    types, commands, ended = set(), set(), 0
    while ended < len(places):
        record = reader.poll(20)
        if record is None:
            raise SystemExit("Kafka did not answer for 20 s")
        if record.error():
            ended += 1
            continue
        try:
            message = json.loads(record.value())
            types.add(message["type"])
        except (ValueError, TypeError, KeyError):
            continue
        if record.topic() == "command-outcomes":
            commands.add(message["data"]["commandId"])
        if record.topic() == "dead-letters":
            types.add(message["data"]["kind"])
    reader.close()
    return types, sorted(commands)


def _forget_members(it: Installation) -> None:
    """Wait until the broker no longer waits for the workers that were killed, and stop it."""
    it.run("up", "--detach", FULFILLMENT_ROLES="")
    admin = AdminClient({"bootstrap.servers": it.kafka})

    def empty() -> bool:
        found = admin.describe_consumer_groups(["orders", "inventory", "fulfilment"])
        return all(not group.result(20).members for group in found.values())

    it.wait(empty, "the groups to be empty", 200)
    it.run("down")


def _packed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if entry.name.startswith(LEFT_OUT):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _python(it: Installation, code: str) -> str:
    return subprocess.run([it.python, "-c", code], cwd=it.checkout, check=True, capture_output=True, text=True).stdout


def _git(checkout: Path, *arguments: str) -> str:
    git = shutil.which("git") or "git"
    return subprocess.run([git, *arguments], cwd=checkout, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
