"""Today's code reads the records of older code as that code did, and writes the same bytes for them."""

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from upgrade_decoders import DECODERS, decode
from upgrade_records import Record

RECORDED: dict[tuple[str, str], list[Record]] = defaultdict(list)
for path in sorted(Path(__file__).parent.glob("recorded/*/messages.json.gz")):
    with gzip.open(path) as file:
        for each in json.load(file):
            if each["decoded"].get("type") != "Skipped":  # an entry that only the former role `fulfilment` has read
                RECORDED[path.parent.name, each["topic"]].append(each)

# Addresses and balances in these have the names they have on the wire, which older code reads, too.
RESPELLED = {"orders-states-changelog", "inventory-stock-changelog"}


def known(found: Any, recorded: Any) -> Any:
    """Return `found` without the fields that older code did not have."""
    match found, recorded:
        case dict(), dict():
            return {name: known(each, recorded[name]) for name, each in found.items() if name in recorded}
        case list(), list() if len(found) == len(recorded):
            return [known(each, other) for each, other in zip(found, recorded, strict=True)]
    return found


@pytest.mark.parametrize(("commit", "topic"), RECORDED)
def test_records_are_read_and_written_as_before(commit: str, topic: str) -> None:
    for record in RECORDED[commit, topic]:
        found = decode(record)
        assert known(found["decoded"], record["decoded"]) == record["decoded"], record["value"]
        if topic not in RESPELLED:
            assert found["encoded"] == record.get("encoded", record["value"])


@pytest.mark.parametrize(("commit", "topic"), RECORDED)
def test_records_written_again_are_read_as_the_same(commit: str, topic: str) -> None:
    for record in RECORDED[commit, topic]:
        found = decode(record)
        if found["encoded"] is not None:
            assert decode(record | {"value": found["encoded"], "headers": []}) == found


def test_every_topic_and_kind_of_entry_was_recorded() -> None:
    types = {(topic, each["decoded"].get("type")) for (_, topic), found in RECORDED.items() for each in found}
    assert {topic for topic, _ in types} == set(DECODERS)
    letters = {"Parked", "Queue", "Letter", "Place", "Position"}
    assert {each for topic, each in types if topic == "orders-states-changelog"} == {"OrderEntry", *letters}
    stock = {"StockEntry", "Reservation", "QueuePlace"}
    assert {each for topic, each in types if topic == "inventory-stock-changelog"} == stock | letters
    assert {each for topic, each in types if topic == "fulfilment-positions-changelog"} == {"Position"}
