"""The messages on the topics match docs/schemas."""

import json
from typing import Any

from jsonschema import Draft202012Validator
from system import Api, System

from ops.kafka import records
from ops.schemas.made import FOLDER

MOST = 300  # messages per partition


def validator(topic: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((FOLDER / f"{topic}.json").read_text()))


def messages(system: System, topic: str) -> list[dict[str, Any]]:
    """Return the newest messages of a topic that are JSON."""
    ends = records.ends(system.settings, topic)
    begins = {n: max(low, ends[n] - MOST) for n, low in records.begins(system.settings, topic).items()}
    with records.Log(system.settings, topic, begins) as log:
        return [json.loads(record.value) for batch in log.upto(ends) for record in batch if _is_json(record.value)]


def _is_json(value: bytes) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False


async def test_events_outcomes_and_letters_match_their_schemas(system: System, api: Api) -> None:
    await api.stock("schema-boots", 1)
    order = (await api.place(("schema-boots", 1)))["id"]
    await api.order(order, lambda found: found["allocationStatus"] == "ALLOCATED")
    await api("POST", f"/orders/{order}/hold", {"reason": "?"})
    await api("DELETE", f"/orders/{order}", {"reason": "changed my mind"})
    for topic in ("order-events", "inventory-events", "command-outcomes", "dead-letters"):
        check, found = validator(topic), messages(system, topic)
        assert found or topic == "dead-letters"
        for message in found:
            check.validate(message)


async def test_our_commands_match_their_schemas(system: System, api: Api) -> None:
    await api.stock("schema-socks", 1)
    order = (await api.place(("schema-socks", 1)))["id"]
    await api.order(order, lambda found: found["allocationStatus"] == "ALLOCATED")
    for topic in ("order-commands", "inventory-commands"):
        check = validator(topic)
        found = [each for each in messages(system, topic) if each.get("source") in ("web", "fulfilment")]
        assert {each["source"] for each in found} == {"web", "fulfilment"}
        for message in found:
            check.validate(message)
