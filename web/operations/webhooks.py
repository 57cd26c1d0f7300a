"""Subscriptions to webhooks over HTTP: they are stored on the topic `webhooks`, and deliveries follow (`webhooks/`).

A secret is in one answer only: when it is created or replaced.
"""

import re
import time
from collections.abc import Callable
from typing import Annotated, Any

from aiohttp import web
from aiokafka.errors import KafkaError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from domain.message import MAX_ID, MAX_TEXT, instant
from streams.kafka.gateway import GatewayUnavailable
from streams.messages.codec import EVENTS
from streams.messages.envelope import instant_of, new_id, now
from streams.messages.spelling import unknown
from streams.runtime.settings import Settings
from streams.topology import AGGREGATES
from web import PREFIX
from web.answers import Answer, answer, page
from web.errors import Problem, invalid, invalid_model, missing
from web.queries.handling import limit
from web.requests import NOT_A_TIME, identifier, json_body, json_object
from web.services import SERVICES, Services, Webhooks
from webhooks import positions
from webhooks.addresses import MOST_URL, Refused, check_receiver
from webhooks.signing import BadSecret, check_secret, new_secret
from webhooks.store import SubscriptionGone, TooManyChanges
from webhooks.subscription import Secret, Start, Subscription

from .actions import record

MOST = 100  # subscriptions: each one reads the event topics for itself
MOST_NAMED = 50  # types, customers or locations of a subscription
DAY_SECONDS, MOST_OVERLAP = 86_400, 30 * 86_400
STATUSES = ("delivered", "retrying", "parked")
LISTED = 100  # orders and products that wait, of one subscription
CURSOR = re.compile(r"(?P<time>[0-9T:.Z-]{20,30})~(?P<id>[\x20-\x7e]{1,200})", re.ASCII)
SHOWN_ID = {"_id": "id"}

Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=MAX_ID)]], Field(max_length=MOST_NAMED)]
Positions = dict[str, Annotated[int, Field(ge=0, le=2**63 - 1)]]
ChosenSecret = Annotated[
    str | None,
    Field(
        max_length=100, description="`whsec_` and 24 to 64 random bytes in base64; by default, a random one is created"
    ),
]
Moment = Annotated[str | None, Field(max_length=40, description="a time: deliver the events that arrived since then")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, strict=True)


class NewWebhook(_Body):
    """A subscription to create."""

    url: Annotated[str, Field(min_length=1, max_length=MOST_URL, description="where events are sent; https")]
    types: Annotated[Names, Field(description="types of events; by default all")] = []
    customer_ids: Annotated[
        Names, Field(description="only events of orders of these customers; events of stock have no customer")
    ] = []
    locations: Annotated[Names, Field(description="only events that name one of these locations")] = []
    description: Annotated[str | None, Field(max_length=MAX_TEXT)] = None
    secret: ChosenSecret = None
    since: Annotated[Moment, Field(alias="from")] = None


class NewSecret(_Body):
    """A secret that replaces the current one."""

    secret: ChosenSecret = None
    overlap_seconds: Annotated[
        int, Field(ge=0, le=MOST_OVERLAP, description="how long the former secret also signs, in seconds")
    ] = DAY_SECONDS


class Replay(_Body):
    """Where deliveries start again: a time, or offsets of some partitions."""

    since: Annotated[Moment, Field(alias="from")] = None
    positions: Annotated[
        Positions | None, Field(description="offsets by partition, such as `order-events/3`; others stay as they are")
    ] = None


def _read(model: type[_Body], body: bytes) -> Any:
    try:
        return model.model_validate(json_object(body))
    except ValidationError as error:
        raise invalid_model(error, model) from None


async def create(request: web.Request) -> Answer:
    """Create a subscription; events that arrive from now on are delivered."""
    services, asked = request.app[SERVICES], _read(NewWebhook, await json_body(request))
    _check_filters(asked)
    await _check_url(asked.url, services)
    secret, hooks = _secret(asked.secret), services.webhooks
    if len(hooks.store.all) >= MOST:
        raise Problem("TOO_MANY_WEBHOOKS", f"there are {MOST} webhooks already: delete one first")
    subscription = Subscription(
        id=new_id(),
        revision=1,
        url=asked.url,
        types=tuple(asked.types),
        customer_ids=tuple(asked.customer_ids),
        locations=tuple(asked.locations),
        description=asked.description,
        secrets=(Secret(hooks.vault.protect(secret)),),
        created_at=now(),
        start=Start(new_id(), await _positions(services.settings, asked.since)),
    )
    await record(request, "create webhook", subscription.id, types=asked.types or None)
    await hooks.store.create(subscription)
    location = {"Location": f"{PREFIX}/webhooks/{subscription.id}"}
    return answer({**subscription.shown(), "secret": secret}, 201, location)


def _check_filters(asked: NewWebhook) -> None:
    errors = {
        f"types.{number}": unknown("event type", name, EVENTS)
        for number, name in enumerate(asked.types)
        if name not in EVENTS
    }
    of_orders = {name for name, event in EVENTS.items() if "orders" in event.__module__}
    if asked.customer_ids and asked.types and not errors and of_orders.isdisjoint(asked.types):
        errors["customerIds"] = "must be left out, because these types are events of stock, which has no customer"
    if errors:
        raise invalid(errors)


async def _check_url(url: str, services: Services) -> None:
    try:
        await check_receiver(url, services.settings.allowed_networks, services.webhooks.names)
    except Refused as refused:
        raise invalid({"url": str(refused)}) from None


def _secret(chosen: str | None) -> str:
    try:
        return new_secret() if chosen is None else check_secret(chosen)
    except BadSecret as error:
        raise invalid({"secret": str(error)}) from None


async def _positions(settings: Settings, since: str | None) -> dict[str, int]:
    try:
        moment = None if since is None else instant(since)
    except ValueError:
        raise invalid({"from": NOT_A_TIME}) from None
    try:
        return await (positions.ends(settings) if moment is None else positions.at_time(settings, moment))
    except (KafkaError, OSError) as error:
        raise GatewayUnavailable(f"the ends of the event topics cannot be read: {error!r}") from error


async def list_webhooks(request: web.Request) -> Answer:
    """Answer with all subscriptions, the oldest first."""
    return page([each.shown() for each in request.app[SERVICES].webhooks.store.all], None)


async def show(request: web.Request) -> Answer:
    """Answer with a subscription and its progress."""
    hooks, subscription = request.app[SERVICES].webhooks, _found(request)
    stored = await hooks.progress.show(subscription.id) or {}
    return answer({**subscription.shown(), "progress": _progress(subscription, stored)})


def _progress(subscription: Subscription, stored: dict[str, Any]) -> dict[str, Any]:
    """Return the progress of a subscription; before its first delivery, that is its beginning."""
    lanes = _lanes(subscription, stored)
    waiting = sorted((each for lane in lanes.values() for each in lane["waiting"]), key=lambda each: each["since"])
    topics = {AGGREGATES[each].events.name for each in subscription.aggregates}
    reached = {name: offset for name, offset in subscription.start.positions.items() if name.split("/")[0] in topics}
    reached |= {name: lane["position"] for name, lane in lanes.items()}
    success = stored.get("lastSuccess")
    return {
        "positions": reached,
        "lastSuccess": instant_of(success) if success else None,
        "waiting": sum(len(each["offsets"]) for each in waiting),
        "waitingFor": [
            {
                "aggregateId": each["key"],
                "events": len(each["offsets"]),
                "attempts": each["attempts"],
                "since": instant_of(each["since"]),
                "nextAttempt": instant_of(each["due"]),
                "error": each["reason"],
            }
            for each in waiting[:LISTED]
        ],
    }


def _lanes(subscription: Subscription, stored: dict[str, Any]) -> dict[str, Any]:
    """Return the stored progress by partition; empty if it is that of another beginning."""
    found: dict[str, Any] = stored.get("lanes", {}) if stored.get("start") == subscription.start.id else {}
    return found


def _reached(subscription: Subscription, stored: dict[str, Any]) -> dict[str, int]:
    """Return the offsets by partition before which everything is delivered, so that nothing that waits is left out."""
    return {
        name: min([lane["position"], *(each["offsets"][0] for each in lane["waiting"])])
        for name, lane in _lanes(subscription, stored).items()
    }


async def deliveries(request: web.Request) -> Answer:
    """Answer with the deliveries of the last week, the newest attempt first."""
    hooks, subscription, query = request.app[SERVICES].webhooks, _found(request), request.query
    most, before = limit(query.get("limit")), None
    if (cursor := query.get("cursor")) is not None:
        if (parts := CURSOR.fullmatch(cursor)) is None:
            raise invalid({"cursor": "must be the nextCursor of an earlier answer"})
        before = parts["time"], parts["id"]
    found = await hooks.progress.newest(subscription.id, most + 1, query.get("status"), before)
    shown = [{SHOWN_ID.get(name, name): value for name, value in each.items()} for each in found[:most]]
    return page(shown, f"{shown[-1]['lastAttempt']}~{shown[-1]['id']}" if len(found) > most else None)


async def pause(request: web.Request) -> Answer:
    """Pause deliveries; nothing is lost."""
    return await _change(request, "pause webhook", lambda one: one if one.status == "paused" else one.paused())


async def resume(request: web.Request) -> Answer:
    """Continue deliveries where they stopped."""
    return await _change(request, "resume webhook", lambda one: one if one.status == "active" else one.resumed())


async def rotate(request: web.Request) -> Answer:
    """Replace the secret; for a while, deliveries are signed with the former one as well."""
    asked = _read(NewSecret, await json_body(request))
    secret, moment = _secret(asked.secret), time.time()
    kept = Secret(request.app[SERVICES].webhooks.vault.protect(secret))
    until = moment + asked.overlap_seconds
    done = await _change(request, "rotate webhook secret", lambda one: one.rotated(kept, moment, until))
    return answer({**done.body["data"], "secret": secret, "formerSecretUntil": instant_of(until)})


async def replay(request: web.Request) -> Answer:
    """Start deliveries again from a time, or from offsets; a later point skips events."""
    asked, services = _read(Replay, await json_body(request)), request.app[SERVICES]
    subscription = _found(request)
    if (asked.since is None) == (not asked.positions):
        raise invalid({"from": "send either from or positions"})
    if asked.positions:
        known = positions.names(services.settings)
        if strangers := {name: unknown("partition", name, known) for name in asked.positions if name not in known}:
            raise invalid({f"positions.{name}": sentence for name, sentence in strangers.items()})
        if after := positions.after(asked.positions, await _positions(services.settings, None)):
            raise invalid({f"positions.{name}": sentence for name, sentence in after.items()})
        stored = await services.webhooks.progress.show(subscription.id) or {}
        begin = subscription.start.positions | _reached(subscription, stored) | asked.positions
    else:
        begin = await _positions(services.settings, asked.since)
    start = Start(new_id(), begin)
    return await _change(request, "replay webhook", lambda one: one.restarted(start), point=asked.since)


async def delete(request: web.Request) -> Answer:
    """Delete a subscription, its secrets and its log."""
    hooks, subscription = request.app[SERVICES].webhooks, _found(request)
    await record(request, "delete webhook", subscription.id)
    await hooks.store.delete(subscription.id)
    await hooks.progress.forget(subscription.id)
    return answer({"id": subscription.id})


def _hook_id(request: web.Request) -> str:
    return identifier(request.match_info["webhookId"], "webhookId")


def _found(request: web.Request) -> Subscription:
    try:
        return request.app[SERVICES].webhooks.store.find(_hook_id(request))
    except SubscriptionGone:
        raise missing("Webhook", _hook_id(request)) from None


async def _change(
    request: web.Request, action: str, change: Callable[[Subscription], Subscription], **details: Any
) -> Answer:
    hooks: Webhooks = request.app[SERVICES].webhooks
    subscription = _found(request)
    await record(request, action, subscription.id, **details)
    try:
        return answer((await hooks.store.change(subscription.id, change)).shown())
    except SubscriptionGone:
        raise missing("Webhook", subscription.id) from None
    except TooManyChanges:
        sentence = f"the webhook {subscription.id} is being changed by other requests: read it, and try again"
        raise Problem("WEBHOOK_CHANGED", sentence, {"webhookId": subscription.id}) from None


ROUTES = (  # below the prefix
    ("POST", "/webhooks", create),
    ("GET", "/webhooks", list_webhooks),
    ("GET", "/webhooks/{webhookId}", show),
    ("DELETE", "/webhooks/{webhookId}", delete),
    ("GET", "/webhooks/{webhookId}/deliveries", deliveries),
    ("POST", "/webhooks/{webhookId}/replay", replay),
    ("POST", "/webhooks/{webhookId}/pause", pause),
    ("POST", "/webhooks/{webhookId}/resume", resume),
    ("POST", "/webhooks/{webhookId}/rotate-secret", rotate),
)
