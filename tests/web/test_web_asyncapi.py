"""The AsyncAPI document: valid, complete, and with examples that its own schemas and the service accept."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from msgspec.structs import replace
from system import Api

from parking.letter import LETTER_COMMANDS, DeadLetter
from streams.messages.codec import EVENTS, INVENTORY_COMMANDS, ORDER_COMMANDS, RecordAt, decode_command, decode_event
from streams.messages.envelope import Outcome
from streams.runtime.settings import Settings
from streams.topics import TOPICS
from web.documents.asyncapi import document

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
    assert on_topics == set(MESSAGES) >= {*EVENTS, *ORDER_COMMANDS, *INVENTORY_COMMANDS, *LETTER_COMMANDS}


@pytest.mark.parametrize("name", [name for name in MESSAGES if name != "TableEntry"])
def test_schema_and_service_accept_every_example(name: str) -> None:
    (example,) = MESSAGES[name]["examples"]
    schema = {**MESSAGES[name]["payload"], "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(example["payload"])
    value = json.dumps(example["payload"]).encode()
    types = {**ORDER_COMMANDS, **INVENTORY_COMMANDS, **LETTER_COMMANDS}
    if name in types:
        id_field = "productId" if name in INVENTORY_COMMANDS else "orderId"
        here = replace(HERE, key=b"walking-boots" if name in INVENTORY_COMMANDS else b"order-1001")
        assert decode_command(value, here, types, id_field).type == name
    elif name in EVENTS:
        assert decode_event(value).type == name
    elif name == "DeadLetter":
        assert DeadLetter.decode(value).offset == 17
    else:
        assert Outcome.decode(value).status == name.removeprefix("Command").lower()


async def test_it_is_served(api: Api) -> None:
    async with api.session.get("/asyncapi.json") as response:
        assert response.status == 200
        Draft7Validator(SCHEMA).validate(await response.json())
