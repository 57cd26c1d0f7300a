"""The AsyncAPI document: valid, complete, and with examples that its own schemas and the service accept."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from msgspec.structs import replace
from system import Api

from parking.letter import LETTER_COMMANDS, DeadLetter
from privacy.forgetting import FORGETTING
from privacy.keys import CustomerKey, KeyRecord, record_of
from streams.messages.codec import EVENTS, INVENTORY_COMMANDS, ORDER_COMMANDS, RecordAt, decode_command, decode_event
from streams.messages.envelope import Outcome
from streams.runtime.settings import Settings
from streams.topics import TOPICS
from web.documents.asyncapi import document
from webhooks.subscription import decode as decode_webhook

# https://github.com/asyncapi/spec-json-schemas, schemas/3.0.0.json, Apache-2.0
SCHEMA = json.loads(gzip.decompress((Path(__file__).parent / "asyncapi-3.0.0.schema.json.gz").read_bytes()))
DOCUMENT = document(Settings(prefix="shop.", partitions=3))
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
HERE = RecordAt("order-commands", 0, 0, 0.0, b"order-1001")


def test_it_is_valid() -> None:
    Draft7Validator(SCHEMA).validate(DOCUMENT)


def test_it_lists_every_topic_by_name_and_every_message() -> None:
    channels = DOCUMENT["channels"].values()
    assert {channel["address"] for channel in channels} == {f"shop.{topic.name}" for topic in TOPICS}
    assert {channel["bindings"]["kafka"]["partitions"] for channel in channels} == {3}
    on_topics = {name for channel in channels for name in channel["messages"]}
    assert on_topics == set(MESSAGES) >= {*EVENTS, *ORDER_COMMANDS, *INVENTORY_COMMANDS, *LETTER_COMMANDS, *FORGETTING}


def test_it_describes_the_keys_of_customers_only_if_they_have_any() -> None:
    assert "customer-keys" not in DOCUMENT["channels"]
    key = base64.b64encode(bytes(32)).decode()
    found = document(Settings(personal_data_key=key))  # type: ignore[arg-type]
    Draft7Validator(SCHEMA).validate(found)
    (message,) = found["channels"]["customer-keys"]["messages"]
    payload = found["components"]["messages"][message]["examples"][0]["payload"]
    record = KeyRecord(payload["customerId"], payload["partition"], CustomerKey(payload["keyId"], payload["wrapped"]))
    assert record_of(json.dumps(payload).encode()) == record


@pytest.mark.parametrize("name", [name for name in MESSAGES if name != "TableEntry"])
def test_schema_and_service_accept_every_example(name: str) -> None:
    (example,) = MESSAGES[name]["examples"]
    schema = {**MESSAGES[name]["payload"], "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(example["payload"])
    value = json.dumps(example["payload"]).encode()
    types = {**ORDER_COMMANDS, **INVENTORY_COMMANDS, **LETTER_COMMANDS, **FORGETTING}
    if name in types:
        id_field = "productId" if name in INVENTORY_COMMANDS else "orderId"
        here = replace(HERE, key=b"walking-boots" if name in INVENTORY_COMMANDS else b"order-1001")
        assert decode_command(value, here, types, id_field).type == name
    elif name in EVENTS:
        assert decode_event(value).type == name
    elif name == "Webhook":
        assert decode_webhook(value).start.positions == {"order-events/0": 17}
    elif name == "DeadLetter":
        assert DeadLetter.decode(value).offset == 17
    else:
        assert Outcome.decode(value).status == name.removeprefix("Command").lower()


async def test_it_is_served(api: Api) -> None:
    async with api.session.get("/asyncapi.json") as response:
        assert response.status == 200
        Draft7Validator(SCHEMA).validate(await response.json())
