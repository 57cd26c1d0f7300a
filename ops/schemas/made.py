"""Generate the schemas of the code, one document per topic, from the AsyncAPI document and thus from the models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streams.runtime.settings import Settings
from web.documents.asyncapi import document

Schema = dict[str, Any]
FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
TAKEN = ("order-commands", "inventory-commands")  # clients may send these; only this service sends the others
TOPICS = (*TAKEN, "order-events", "inventory-events", "command-outcomes", "dead-letters")
_COMPONENT, _DEFINITION = "#/components/schemas/", "#/$defs/"


def made() -> dict[str, Schema]:
    """Return the JSON Schema of each topic's message values; `oneOf` has one entry per message type."""
    whole = document(Settings.model_construct())
    return {topic: _of_topic(topic, whole) for topic in TOPICS}


def _of_topic(topic: str, whole: Schema) -> Schema:
    channel, components = whole["channels"][topic], whole["components"]
    messages = [
        {
            "title": name,
            "description": components["messages"][name]["summary"],
            **components["messages"][name]["payload"],
        }
        for name in sorted(channel["messages"])
    ]
    used = dict[str, Schema]()
    for name in _references(messages):
        _define(name, components["schemas"], used)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": topic,
        "description": channel["description"],
        "oneOf": messages,
        "$defs": used,
    }
    return dict(json.loads(json.dumps(schema).replace(_COMPONENT, _DEFINITION)))


def _define(name: str, schemas: Schema, used: Schema) -> None:
    if name not in used:
        used[name] = schemas[name]
        for other in _references(schemas[name]):
            _define(other, schemas, used)


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from _references(each)
    elif isinstance(schema, dict):
        for name, each in schema.items():
            if name == "$ref":
                yield str(each).removeprefix(_COMPONENT)
            else:
                yield from _references(each)


def text_of(schema: Schema) -> str:
    """Return the text of a schema as it is committed."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
