"""Every message on the topics: its meaning, its fields and an example."""

import json
from functools import cache
from typing import Any

from ops.reference.markdown import block, code, table
from streams.runtime.settings import Settings
from streams.topics import MESSAGE_TOPICS
from web.documents.asyncapi import document

Schema = dict[str, Any]
LONGEST_LINE = 100  # characters of an example that is shown on one line
_REFERENCE = "#/components/schemas/"


@cache
def _document() -> Schema:
    return document(Settings.model_construct())


def messages() -> str:
    """Return a section for each topic, with a section for each of its messages."""
    return "\n\n".join(_topic(topic.name) for topic in MESSAGE_TOPICS)


def _topic(name: str) -> str:
    channel = _document()["channels"][name]
    parts = [f"## {name}", channel["description"]]
    parts += [_message(each) for each in channel["messages"] if each not in _already_shown(name)]
    return "\n\n".join(parts)


def _already_shown(topic: str) -> set[str]:
    """Return the messages that a topic before `topic` has as well, such as RetryLetters."""
    before = [each.name for each in MESSAGE_TOPICS]
    before = before[: before.index(topic)]
    return {name for other in before for name in _document()["channels"][other]["messages"]}


def _message(name: str) -> str:
    message = _document()["components"]["messages"][name]
    schema = _resolved(message["payload"]["properties"]["data"])
    parts = [f"### {name}", " ".join(message["summary"].split())]
    parts += [_fields(schema)] if schema.get("properties") else ["No fields."]
    parts += [block("json", _pretty(each["payload"].get("data", {}))) for each in message.get("examples", ())]
    return "\n\n".join(parts)


def _pretty(data: Any) -> str:
    compact = json.dumps(data, ensure_ascii=False)
    return compact if len(compact) <= LONGEST_LINE else json.dumps(data, indent=2, ensure_ascii=False)


def _fields(schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [
        (code(name), _type(each), "yes" if name in required else "", each.get("description", ""))
        for name, each in schema["properties"].items()
        if not each.get("deprecated")  # ignored fields are listed in the HTTP reference
    ]
    return table(("Field of `data`", "Type", "Required", "Meaning"), rows)


def _type(schema: Schema) -> str:
    """Return a schema in a few words, such as `list of NewLine` or `string`."""
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"] if each.get("type") != "null")
    if "$ref" in schema:
        return _named(schema)
    if "const" in schema or "enum" in schema:
        return ", ".join(code(value) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("format") == "date-time":
        return "time"
    return str(schema.get("type", "any"))


def _named(schema: Schema) -> str:
    if schema["$ref"].startswith(f"{_REFERENCE}Address"):
        return "[address](http.md#addresses)"
    target = _resolved(schema)
    return _type(target) if "enum" in target else _inner(target)


def _inner(schema: Schema) -> str:
    return "{" + ", ".join(code(name) for name in schema.get("properties", {})) + "}"


def _resolved(schema: Schema) -> Schema:
    while "$ref" in schema:
        schema = _document()["components"]["schemas"][schema["$ref"].removeprefix(_REFERENCE)]
    return schema
