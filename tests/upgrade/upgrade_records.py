"""The records on an installation's topics, and a few of them that show everything their messages can contain."""

import json
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from upgrade_installation import PARTITIONS, Installation

Record = dict[str, Any]
TOPICS = ("order-commands", "inventory-commands", "order-events", "inventory-events", "command-outcomes",
          "dead-letters", "orders-states-changelog", "inventory-stock-changelog",
          "fulfilment-positions-changelog")  # fmt: skip
LARGE = 4_000  # bytes of a record that is not worth keeping
# Fields whose every value is worth a record.
TELLING = {"status", "kind", "code", "policy", "cause", "type", "specversion", "schemaversion"}


def records(it: Installation) -> list[Record]:
    """Return all committed records of the topics, partition by partition."""
    reader = Consumer({"bootstrap.servers": it.kafka, "group.id": "recorder", "enable.auto.commit": False,
                       "isolation.level": "read_committed", "enable.partition.eof": True})  # fmt: skip
    places = [TopicPartition(topic, partition, 0) for topic in TOPICS for partition in range(PARTITIONS)]
    reader.assign(places)
    found: list[Any] = []
    ended = 0
    while ended < len(places):
        record = reader.poll(120)
        if record is None:
            raise SystemExit("Kafka did not answer for 20 s")
        if record.error():
            ended += 1
        else:
            found.append(record)
    reader.close()
    return [_shown(each) for each in sorted(found, key=lambda each: (each.topic(), each.partition(), each.offset()))]


def _shown(record: Any) -> Record:
    return {
        "topic": record.topic(),
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp": record.timestamp()[1] / 1000,
        "key": _text(record.key()),
        "value": _text(record.value()),
        "headers": [[name, _text(value)] for name, value in record.headers() or ()],
    }


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogateescape")


def picked(found: list[Record]) -> list[Record]:
    """Return few records in which every topic, type and field occurs; small ones are preferred."""
    seen: set[tuple[Any, ...]] = set()
    kept = []
    for record in sorted(found, key=lambda each: len(each["value"] or "")):
        if record["value"] is None or len(record["value"]) > LARGE:
            continue
        if new := set(_features(record)) - seen:
            seen |= new
            kept.append(record)
    return sorted(kept, key=lambda each: (each["topic"], each["partition"], each["offset"]))


def _features(record: Record) -> Iterator[tuple[Any, ...]]:
    try:
        value = json.loads(record["value"])
    except ValueError:
        value = record["value"]
    kind = value.get("type") if isinstance(value, dict) else None
    if record["topic"].endswith("changelog"):
        key = record["key"]
        kind = [key.startswith("/") and key.split("/")[1], key.count("/"), "//" in key]
    yield record["topic"], str(kind), tuple(name for name, _ in record["headers"])
    yield from ((record["topic"], str(kind), *path) for path in _paths(value))


def _paths(value: Any, name: str = "") -> Iterator[tuple[Any, ...]]:
    yield name, value if name.rpartition(".")[2] in TELLING and isinstance(value, str) else type(value).__name__
    if isinstance(value, dict):
        for field, each in value.items():
            yield from _paths(each, f"{name}.{field}")
    elif isinstance(value, list):
        for each in value:
            yield from _paths(each, name)
