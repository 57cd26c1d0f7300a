"""A subscription, and its changes. Pure: ids, times and secrets are given."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from streams.messages.envelope import Aggregate
from streams.topology import AGGREGATES

Status = Literal["active", "paused", "parked"]
PLACES = ("location", "source", "target")  # fields of an event that name a location
TOTALS = "locations"  # the field of a stock event with the units at every location after it
DEFAULT_PLACE = "default"  # where stock is if an event of stock names no location


class Secret(Struct, frozen=True):
    """A secret that signs deliveries, up to a Unix time if it was replaced; `text` may be encrypted."""

    text: str
    until: float | None = None


class Start(Struct, frozen=True):
    """Where deliveries begin: offsets by `topic/partition`. A new `id` lets them begin again."""

    id: str
    positions: dict[str, int]


class Subscription(Struct, frozen=True, kw_only=True):
    """Where events are sent, which ones, and whether they are sent now. `revision` counts its changes."""

    id: str
    revision: int
    url: str
    types: tuple[str, ...] = ()  # empty: all
    customer_ids: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    description: str | None = None
    secrets: tuple[Secret, ...]  # the newest first
    status: Status = "active"
    reason: str | None = None  # why it is parked
    created_at: str
    start: Start

    def wants_type(self, event_type: str) -> bool:
        """Return whether events of a type may be wanted."""
        return not self.types or event_type in self.types

    def wants_place(self, data: Mapping[str, Any]) -> bool:
        """Return whether an event names one of the locations, if there are some."""
        if not self.locations:
            return True
        named = set(places_in(data)) or ({DEFAULT_PLACE} if "balance" in data else set())
        return not named.isdisjoint(self.locations)

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """The aggregates whose events are wanted; only orders have customers."""
        return ("order",) if self.customer_ids else tuple(AGGREGATES)

    def valid_secrets(self, now: float) -> list[str]:
        """Return the secrets that sign a delivery at a Unix time."""
        return [each.text for each in self.secrets if each.until is None or each.until > now]

    # --- changes

    def paused(self) -> "Subscription":
        """Return it paused."""
        return self._changed(status="paused", reason=None)

    def resumed(self) -> "Subscription":
        """Return it active; deliveries continue where they stopped."""
        return self._changed(status="active", reason=None)

    def parked(self, reason: str) -> "Subscription":
        """Return it parked, because its receiver does not work."""
        return self._changed(status="parked", reason=reason)

    def rotated(self, secret: Secret, now: float, until: float) -> "Subscription":
        """Return it with a new secret; the former ones sign as well until `until`."""
        kept = [replace(each, until=min(each.until or until, until)) for each in self.secrets]
        return self._changed(secrets=(secret, *(each for each in kept if (each.until or 0) > now)))

    def restarted(self, start: Start) -> "Subscription":
        """Return it active and with another beginning."""
        return self._changed(status="active", reason=None, start=start)

    def _changed(self, **fields: Any) -> "Subscription":
        return replace(self, revision=self.revision + 1, **fields)

    # --- on the topic

    def encode(self) -> bytes:
        """Return the Kafka value."""
        return _encode(self)

    def shown(self) -> dict[str, Any]:
        """Return it for clients, without its secrets."""
        return {
            "id": self.id,
            "url": self.url,
            "types": self.types,
            "customerIds": self.customer_ids,
            "locations": self.locations,
            "description": self.description,
            "status": self.status,
            "reason": self.reason,
            "createdAt": self.created_at,
            "revision": self.revision,
        }


def decode(value: bytes) -> Subscription:
    """Return the subscription in a Kafka value; raise `msgspec.MsgspecError`."""
    return _decode(value)


def places_in(data: Any) -> Iterable[str]:
    """Yield the locations that an event is about, at the top or in its lines."""
    for name, value in data.items() if isinstance(data, dict) else ():
        if isinstance(value, str) and name in PLACES:
            yield value
        elif isinstance(value, list) and name != TOTALS:
            for each in value:
                yield from places_in(each)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Subscription).decode
