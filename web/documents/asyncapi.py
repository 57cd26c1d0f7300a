"""The AsyncAPI 3 document: every topic and its messages, generated from the models and the table of topics."""

from collections.abc import Mapping
from functools import lru_cache

import orjson
from aiohttp import web
from orjson import Fragment
from pydantic.json_schema import models_json_schema

from domain.message import Command, Event
from parking.letter import KINDS, LETTER_COMMANDS
from privacy.forgetting import FORGETTING
from streams.messages.codec import EVENTS, INVENTORY_COMMANDS, ORDER_COMMANDS
from streams.messages.models import model_of
from streams.runtime.settings import Settings
from streams.topics import Topic, topics_of
from web.answers import Answer
from web.commands.routes import COMMAND_ROUTES
from web.requests import is_known
from web.services import SERVICES

from .asyncapi_examples import examples
from .asyncapi_shapes import (
    CUSTOMER_KEY,
    CUSTOMER_KEY_EXAMPLE,
    LETTER,
    LETTER_EXAMPLE,
    OUTCOMES,
    TABLE_ENTRY,
    WEBHOOK,
    WEBHOOK_EXAMPLE,
    binary_headers,
    envelope,
    outcome_example,
)
from .openapi import service_version
from .parameters import IDENTIFIER
from .schemas import Schema, with_ignored

BY_PROCESS = {*ORDER_COMMANDS, *INVENTORY_COMMANDS} - {route.command.__name__ for route in COMMAND_ROUTES}
DESCRIPTION = """A message is one JSON object: CloudEvents 1.0 in structured mode, with the header `content-type:
application/cloudevents+json`. A command needs only `type`, `data` and the aggregate's id as its Kafka key; if `subject`
or `data` contain the id too, all must be equal. Commands may also be sent in binary mode: the attributes are headers
(`ce_type`, `ce_id`, `ce_source`, `ce_subject`, `ce_time`, `ce_correlationid`, `ce_causationid`,
`ce_expectedversion`), `content-type` is `application/json`, and the value is the data. Batches and other formats are
refused.

Commands with unknown fields are refused. Consumers of events should ignore unknown fields and set
`isolation.level=read_committed`, because an aborted transaction leaves its records on the topic."""
PURPOSES = {
    "order-commands": ("receive", "Commands for orders. The key is the id of the order. Any producer may send."),
    "inventory-commands": ("receive", "Commands for the stock of products. The key is the id of the product."),
    "order-events": ("send", "All events of orders, kept forever, in sequence for each order: the source of truth."),
    "inventory-events": (
        "send",
        "All events of stock, kept forever, in sequence for each product: the source of truth.",
    ),
    "command-outcomes": ("send", "The outcome of each command. The key is the id of the command."),
    "dead-letters": ("send", "Messages that could not be handled, and what was done about them."),
    "customer-keys": (
        "send",
        "The keys that the personal data of customers is encrypted with, each wrapped with a master key. Internal.",
    ),
    "webhooks": ("send", "Subscriptions to events over HTTP, with their secrets. Internal: its format may change."),
}
KEY = "The id of the aggregate, for producers that cannot set the Kafka key; otherwise equal to the key."
OUR_OWN = ("send", "The changelog from which a worker restores its table. Internal: its format may change.")


async def asyncapi(request: web.Request) -> Answer:
    """Answer with the document."""
    return Answer(_encoded(request.app[SERVICES].settings, is_known(request)))


@lru_cache(maxsize=2)
def _encoded(settings: Settings, known: bool) -> Fragment:
    """Return the document as JSON; strangers do not get the address of Kafka."""
    found = document(settings)
    return Fragment(orjson.dumps(found if known else {name: found[name] for name in found if name != "servers"}))


def document(settings: Settings) -> Schema:
    """Return the AsyncAPI document of an installation."""
    messages = _messages(settings)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Order fulfilment", "version": service_version(), "description": DESCRIPTION},
        "defaultContentType": "application/cloudevents+json",
        "servers": {"kafka": {"host": settings.kafka.split(",")[0], "protocol": "kafka"}},
        "channels": {topic.name: _channel(topic, settings) for topic in topics_of(settings)},
        "operations": {f"{_purpose(topic)[0]}-{topic.name}": _operation(topic) for topic in topics_of(settings)},
        "components": {"messages": messages, "schemas": _schemas()},
    }


def _purpose(topic: Topic) -> tuple[str, str]:
    return PURPOSES.get(topic.name, OUR_OWN)


def _on(topic: Topic) -> tuple[str, ...]:
    """Return the names of the messages on a topic."""
    return {
        "order-commands": (*ORDER_COMMANDS, *LETTER_COMMANDS, *FORGETTING),
        "inventory-commands": (*INVENTORY_COMMANDS, *LETTER_COMMANDS),
        "order-events": tuple(name for name, event in EVENTS.items() if "orders" in event.__module__),
        "inventory-events": tuple(name for name, event in EVENTS.items() if "inventory" in event.__module__),
        "command-outcomes": tuple(OUTCOMES),
        "dead-letters": ("DeadLetter",),
        "customer-keys": ("CustomerKey",),
        "webhooks": ("Webhook",),
    }.get(topic.name, ("TableEntry",))


def _channel(topic: Topic, settings: Settings) -> Schema:
    config: Schema = {"cleanup.policy": [topic.cleanup]}
    if topic.cleanup == "delete":
        config["retention.ms"] = topic.retention_ms
    if topic.largest is not None:
        config["max.message.bytes"] = topic.largest
    kafka = {"partitions": settings.partitions, "replicas": settings.replication, "topicConfiguration": config}
    return {
        "address": settings.named(topic.name),
        "title": topic.name,
        "description": _purpose(topic)[1],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _on(topic)},
        "bindings": {"kafka": {**kafka, "bindingVersion": "0.5.0"}},
    }


def _operation(topic: Topic) -> Schema:
    action, sentence = _purpose(topic)
    channel = f"#/channels/{topic.name}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "summary": sentence,
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in _on(topic)],
    }


def _messages(settings: Settings) -> dict[str, Schema]:
    found = {name: _message(name, model, False) for name, model in _commands().items()}
    found |= {name: _message(name, model, True) for name, model in EVENTS.items()}
    for name, schema in OUTCOMES.items():
        found[name] = _entry(name, schema["description"], schema, outcome_example(name))
    kinds = ", ".join(KINDS)
    found["DeadLetter"] = _entry("DeadLetter", f"A complete message and what was done about it: {kinds}.", LETTER)
    found["DeadLetter"]["examples"] = [{"name": "DeadLetter", "payload": LETTER_EXAMPLE}]
    if settings.encrypts_personal_data:
        key = "A customer's key in a partition of the orders table; a tombstone erases it."
        entry = _entry("CustomerKey", key, CUSTOMER_KEY, CUSTOMER_KEY_EXAMPLE)
        found["CustomerKey"] = {**entry, "contentType": "application/json"}
    webhook = _entry("Webhook", PURPOSES["webhooks"][1], WEBHOOK, WEBHOOK_EXAMPLE)
    found["Webhook"] = {**webhook, "contentType": "application/json"}
    found["TableEntry"] = {**_entry("TableEntry", OUR_OWN[1], TABLE_ENTRY), "contentType": "application/json"}
    return found


def _commands() -> Mapping[str, type[Command]]:
    return {**ORDER_COMMANDS, **INVENTORY_COMMANDS, **LETTER_COMMANDS, **FORGETTING}


def _message(name: str, model: type[Command] | type[Event], is_event: bool) -> Schema:
    sentence = (model.__doc__ or "").split("\n\n")[0]
    if name in BY_PROCESS:
        sentence += " Sent by the process manager."
    version = getattr(model, "schema_version", None)
    payload = envelope(name, {"$ref": f"#/components/schemas/{name}"}, version)
    data = examples().get(name, {"commandId": "0198f0c2-2f6a-7c3e-9c55-1b0d6f0b6a01", "reason": "sent by mistake"})
    data = {"RetryLetters": {}, "ForgetCustomer": {"customerId": "ada"}}.get(name, data)
    example: Schema = {"type": name, "data": data}
    if is_event:
        example = {**_EVENT, "type": name, "source": _source(model), "schemaversion": version, "data": data}
    entry = _entry(name, sentence, payload, example)
    return entry if is_event else {**entry, "headers": binary_headers(name)}


_EVENT = {
    "specversion": "1.0",
    "id": "3d322615-2cbb-5a65-a094-217ec3fdca00",
    "time": "2026-11-23T10:00:00.000Z",
    "subject": "order-1001",
    "correlationid": "0198f0c2-2f6a-7c3e-9c55-1b0d6f0b6a01",
    "causationid": "0198f0c2-2f6a-7c3e-9c55-1b0d6f0b6a01",
    "sequence": 3,
}


def _source(model: type) -> str:
    return "order" if "orders" in model.__module__ else "inventory"


def _entry(name: str, sentence: str, payload: Schema, example: Schema | None = None) -> Schema:
    key: Schema = {"type": "string", "description": "The id of the aggregate, unless the topic says otherwise."}
    entry: Schema = {"name": name, "title": name, "summary": sentence, "payload": payload}
    entry["bindings"] = {"kafka": {"key": key, "bindingVersion": "0.5.0"}}
    if example is not None:
        entry["examples"] = [{"name": name, "payload": example}]
    return entry


def _schemas() -> dict[str, Schema]:
    used = [*((model_of(kind), "validation") for kind in _commands().values())]
    used += [(model_of(kind), "serialization") for kind in EVENTS.values()]
    _, found = models_json_schema(used, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    schemas: dict[str, Schema] = found["$defs"]
    for names, field in ((ORDER_COMMANDS, "orderId"), (INVENTORY_COMMANDS, "productId")):
        for name in names:
            schemas[name].setdefault("properties", {})[field] = {**IDENTIFIER, "description": KEY}
    return with_ignored(schemas)
