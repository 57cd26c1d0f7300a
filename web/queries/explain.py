"""`GET /orders/{orderId}/explain`: what an order waits for, from the current state."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from parking.book import Key
from projections.document import Document
from projections.explanation import Behind, Facts, explain
from projections.mongo.standing import standing
from projections.table import ORDERS
from streams.kafka.gateway import GatewayUnavailable
from streams.kafka.groups import Groups, Place
from streams.kafka.partitions import partition_of
from streams.messages.envelope import Aggregate
from streams.runtime.settings import Role, Settings
from streams.topics import Topic
from streams.topology import AGGREGATES, TOPOLOGY, TRANSACTIONAL, group_of
from web.errors import missing
from web.services import Services

LETTERS_SECONDS = 5.0


async def explained(services: Services, order_id: str) -> dict[str, Any]:
    """Return what an order waits for; raise a 404 if neither a read model nor a letter has the order."""
    facts = await standing(services.queries, order_id)
    products = _open_products(facts.order)
    parked, behind = await asyncio.gather(_parked(services, order_id, products), _behind(services, order_id, products))
    found = replace(
        facts,
        parked=parked if isinstance(parked, list) else (),
        behind=behind if isinstance(behind, list) else (),
        unchecked=[sentence for sentence in (parked, behind) if isinstance(sentence, str)],
    )
    if found.order is None and not found.parked:
        raise missing("Order", order_id)
    return _document(found)


def _document(facts: Facts) -> dict[str, Any]:
    order = facts.order or {}
    reasons = [reason.document() for reason in explain(facts)]
    shown = {name: order.get(name) for name in ("version", "status", "allocationStatus")}
    return {"id": facts.order_id, **shown, "reasons": reasons}


def _open_products(order: Document | None) -> list[str]:
    """Return the products of the lines that wait for stock."""
    items = order["items"] if order else ()
    return sorted({item["productId"] for item in items if item["pending"] or item["backordered"]})


async def _parked(services: Services, order_id: str, products: Sequence[str]) -> list[Document] | str:
    """Return the parked commands that block the order, or a phrase that says what could not be checked."""
    keys: list[Key] = [("order", order_id), *(("inventory", product) for product in products)]
    try:
        async with asyncio.timeout(LETTERS_SECONDS):
            book = await services.letters.book()
    except (GatewayUnavailable, TimeoutError):
        return "whether commands are parked, because the dead letters cannot be read"
    return [book.summary(key) for key in keys if key in book]


async def _behind(services: Services, order_id: str, products: Sequence[str]) -> list[Behind] | str:
    """Return the roles with unread messages that may concern the order, or a phrase that says what is unknown."""
    places = await _places(services, order_id, products)
    try:
        left = await Groups(services.settings).left(list(places))
    except GatewayUnavailable:
        return "how far the workers are, because Kafka does not answer"
    return [
        Behind(places[place], place.topic, place.partition, found.messages, found.members)
        for place, found in left.items()
    ]


async def _places(services: Services, order_id: str, products: Sequence[str]) -> dict[Place, Role]:
    """Return the partitions on which each role reads messages of the order and of the products it waits for."""
    settings = services.settings
    projected = _at(settings, "projector", ORDERS.topic, order_id)
    offset = await services.queries.reached(ORDERS.name, (projected.topic, projected.partition))
    places: dict[Place, Role] = {projected._replace(position=offset): "projector"}
    keys: dict[Aggregate, Sequence[str]] = {"order": [order_id], "inventory": products}
    for role in TRANSACTIONAL:
        for aggregate, topics in AGGREGATES.items():
            for topic in {topics.commands, topics.events} & set(TOPOLOGY[role].reads):
                places |= {_at(settings, role, topic, key): role for key in keys[aggregate]}
    return places


def _at(settings: Settings, role: Role, topic: Topic, key: str) -> Place:
    partition = partition_of(key.encode(), settings.partitions)
    return Place(group_of(role, settings), settings.named(topic.name), partition)
