"""Why an order is waiting: sentences for a warehouse clerk, codes for a program. Pure: facts → reasons."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from domain.orders.commands import WhenOver, hold_id_of
from domain.orders.events import CancellationCause
from domain.orders.status import OrderStatus, ShipmentStatus
from domain.policy import DEFAULT_LOCATION, AllocationStrategy
from projections.document import Document
from streams.wording import counted

# the next actor; NOTHING: the reason is the order's final state
WaitsFor = Literal["STOCK", "WAREHOUSE", "RELEASE", "CARRIER", "CUSTOMER", "OPERATOR", "SYSTEM", "NOTHING"]
WORK = {
    "orders": "commands for orders",
    "inventory": "commands for stock",
    "projector": "events (not yet visible here)",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason in an explanation."""

    code: str
    waits_for: WaitsFor
    message: str
    line_id: str | None = None
    product_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> Document:
        """Return the reason as the API shows it."""
        return {
            "code": self.code,
            "waitsFor": self.waits_for,
            "message": self.message,
            "lineId": self.line_id,
            "productId": self.product_id,
            "details": dict(self.details),
        }


@dataclass(frozen=True, slots=True)
class Queued:
    """A line in its product's backorder queue; `units_ahead` is None if too many lines wait before it."""

    waiting: int  # in units
    lines_ahead: int  # an upper bound unless `exact`
    units_ahead: int | None
    available: int  # units of the product that are not reserved

    @property
    def exact(self) -> bool:
        """Whether the lines ahead were counted exactly."""
        return self.units_ahead is not None


@dataclass(frozen=True, slots=True)
class Behind:
    """Messages a role has not handled, on a partition where some of them may concern the order."""

    role: str
    topic: str
    partition: int
    messages: int
    workers: int  # running workers of the role


@dataclass(frozen=True, slots=True)
class Facts:
    """The known facts about an order; `order` is its document, None if no read model has it (yet)."""

    order_id: str
    order: Document | None
    queued: Mapping[str, Queued] = field(default_factory=dict)  # by line
    held: Mapping[str | None, str] = field(default_factory=dict)  # since when, by hold; None: one without an id
    cancelled: Document | None = None
    parked: Sequence[Document] = ()  # summaries of the dead letters of the order and its products
    behind: Sequence[Behind] = ()
    unchecked: Sequence[str] = ()  # facts that could not be looked up, and why


def explain(facts: Facts) -> list[Reason]:
    """Return the reasons why the order waits, the most important first; there is always at least one."""
    reasons = [_parked(facts, summary) for summary in facts.parked]
    if facts.order is not None:
        reasons += [reason for part in _PARTS for reason in part(facts, facts.order)]
    reasons += [_behind(each) for each in facts.behind]
    reasons += [Reason("NOT_CHECKED", "OPERATOR", f"This could not be checked: {what}.") for what in facts.unchecked]
    if not reasons:
        reasons.append(Reason("NOTHING_OPEN", "NOTHING", "Nothing is outstanding for this order."))
    return reasons


def units(count: int) -> str:
    """Return `1 unit`, `1,200 units`."""
    return counted(count, "unit")


def _parked(facts: Facts, summary: Document) -> Reason:
    what, key = summary["aggregate"], summary["aggregateId"]
    behind = summary["letters"] - 1
    others = f" {counted(behind, 'more is', 'more are')} queued after it." if behind else ""
    whom = "product" if what == "inventory" else "order"
    message = (
        f"{summary['commandType']} for {whom} {key} has failed since {summary['since']} "
        f"because of an error in the service: {summary['message']}.{others} "
        f"To resolve this, an operator fixes the error and runs: fulfillment letters retry {shlex.quote(key)}"
    )
    product = key if what == "inventory" else None
    return Reason("COMMAND_PARKED", "OPERATOR", message, product_id=product, details=summary)


def _hold(facts: Facts, order: Document) -> Iterator[Reason]:
    """Yield one reason for each hold, the newest first."""
    if not any(_unshipped(item) for item in order["items"]):
        return
    for hold in reversed(holds_of(order)):
        reason, since = hold["reason"], facts.held.get(hold["holdId"], facts.held.get(None))
        why = f": {reason}" if reason else ", without a reason"
        held = f"has been on hold since {since}" if since else "is on hold"
        message = f"The order {held}{why}. Nothing ships until {_end_of(hold)}."
        yield Reason("ON_HOLD", "RELEASE", message, details={**hold, "since": since})


def _end_of(hold: Document) -> str:
    if "until" not in hold:
        return "it is released"
    if hold["whenOver"] == WhenOver.CANCEL:
        return f"it is released, and at {hold['until']} what has not shipped is cancelled"
    return f"it is released, or ends by itself at {hold['until']}"


def holds_of(order: Document) -> list[Document]:
    """Return the holds of an order's document, the newest last; one that older code recorded has no id."""
    if order["hold"] is None:
        return []
    found: list[Document] = order.get("holds") or [{"holdId": hold_id_of(order["hold"]["reason"]), **order["hold"]}]
    return found


def _reservations(facts: Facts, order: Document) -> Iterator[Reason]:
    for item in order["items"]:
        if count := item["pending"]:
            message = f"Line {item['lineId']}: waiting for the stock decision on {units(count)} of {item['productId']}."
            yield _of_line("RESERVATION_OUTSTANDING", "SYSTEM", message, item, {"quantity": count})


def _backorders(facts: Facts, order: Document) -> Iterator[Reason]:
    for item in order["items"]:
        if not (count := item["backordered"]):
            continue
        waits = f"Line {item['lineId']}: {units(count)} of {item['productId']} on backorder"
        if (queued := facts.queued.get(item["lineId"])) is None:
            message = f"{waits}; the allocation has just changed, and the order will be updated in a moment."
            yield _of_line("ALLOCATION_UNDER_WAY", "SYSTEM", message, item, {"quantity": count})
            continue
        details = {"quantity": count, "linesAhead": queued.lines_ahead, "exact": queued.exact}
        if queued.units_ahead is not None:
            needed = max(queued.units_ahead + queued.waiting - queued.available, 0)
            details |= {"unitsAhead": queued.units_ahead, "unitsNeeded": needed}
        yield _of_line("BACKORDERED", "STOCK", f"{waits}. {_place(queued, details)}", item, details)


def _place(queued: Queued, details: Mapping[str, Any]) -> str:
    if queued.units_ahead is None:
        return f"Up to {counted(queued.lines_ahead, 'line of an order is', 'lines of orders are')} ahead in the queue."
    filled = f"It needs {units(details['unitsNeeded'])} more in stock."
    if not queued.lines_ahead:
        return f"It is first in the queue. {filled}"
    lines = counted(queued.lines_ahead, "line of an order is", "lines of orders are")
    return f"{lines} ahead in the queue, waiting for {units(queued.units_ahead)}. {filled}"


def _allocated(facts: Facts, order: Document) -> Iterator[Reason]:
    count = sum(item["allocated"] for item in order["items"])
    since = order["_pickableSince"]
    if since is not None:
        message = f"{units(count).capitalize()} allocated, ready to pick since {since}."
        details: Document = {"quantity": count, "since": since}
        if places := _places(order):
            there = ", ".join(f"{units(part)} at {location}" for location, part in places.items())
            message = f"{message} {there}: {_why_there(order, len(places))}."
            details |= {"locations": places, "allocation": order.get("allocation")}
        yield Reason("READY_TO_PICK", "WAREHOUSE", message, details=details)
    elif count and order["hold"] is None:
        message = (
            f"{units(count).capitalize()} allocated, but the order ships only when all of its lines are allocated."
        )
        yield Reason("OTHER_LINES_OUTSTANDING", "SYSTEM", message, details={"quantity": count})


def _places(order: Document) -> dict[str, int]:
    """Return the allocated units by location; empty if no line has units at other locations than `default`."""
    found: dict[str, int] = {}
    if not any("locations" in item for item in order["items"]):
        return found
    for item in order["items"]:
        parts = item.get("locations") or [{"location": DEFAULT_LOCATION, "allocated": item["allocated"]}]
        for part in parts:
            if part["allocated"]:
                found[part["location"]] = found.get(part["location"], 0) + part["allocated"]
    return found


def _why_there(order: Document, places: int) -> str:
    plan = order.get("allocation") or {"strategy": AllocationStrategy.PRIORITY.value}
    named = ", ".join(plan.get("locations", ()))
    preferred = f"in the order {named}, then any other" if named else "in the order in which the product got them"
    found = f"{_STRATEGIES[AllocationStrategy(plan['strategy'])]}, {preferred}"
    if not plan.get("oneLocation"):
        return found
    if places == 1:
        return f"one location that had all units of the order, {preferred}"
    return f"no open location had all units of the order, so each line has them from {found}"


_STRATEGIES = {
    AllocationStrategy.PRIORITY: "the first open locations that had units",
    AllocationStrategy.NEAREST: "the nearest open locations that had units",
    AllocationStrategy.FEWEST_SHIPMENTS: "as few open locations as had the units of a line",
    AllocationStrategy.KEEP_TOGETHER: "the open location with most of the units of each line",
}


def _shipments(facts: Facts, order: Document) -> Iterator[Reason]:
    for shipment in order["shipments"]:
        under_way = sum(line["quantity"] - line["delivered"] for line in shipment["lines"])
        if under_way and shipment["status"] in (ShipmentStatus.SHIPPED, ShipmentStatus.PARTIALLY_DELIVERED):
            by = " ".join(shipment[name] for name in ("carrier", "trackingNumber") if shipment[name])
            message = (
                f"Shipment {shipment['shipmentId']}{f' ({by})' if by else ''} is in transit with {units(under_way)}."
            )
            details = {"shipmentId": shipment["shipmentId"], "quantity": under_way}
            yield Reason("IN_TRANSIT", "CARRIER", message, details=details)


def _returns(facts: Facts, order: Document) -> Iterator[Reason]:
    for back in order["returns"]:
        if back["status"] == "OPEN":
            count = sum(line["quantity"] for line in back["lines"])
            message = f"Return {back['returnId']} of {units(count)} is announced; count it in when it arrives."
            yield Reason("RETURN_OPEN", "CUSTOMER", message, details={"returnId": back["returnId"], "quantity": count})


def _ends(facts: Facts, order: Document) -> Iterator[Reason]:
    if order["status"] == OrderStatus.CANCELLED:
        data = facts.cancelled["data"] if facts.cancelled else {}
        why = ", because stock could not serve it" if data.get("cause") == CancellationCause.STOCK else ""
        why += f": {data['reason']}" if data.get("reason") else ""
        yield Reason(
            "ORDER_CANCELLED", "NOTHING", f"The order is cancelled{why}.", details={"reason": data.get("reason")}
        )
    elif order["status"] == OrderStatus.DELIVERED:
        yield Reason("ORDER_DELIVERED", "NOTHING", "The whole order was delivered.")


def _unshipped(item: Document) -> int:
    return int(item["pending"] + item["backordered"] + item["allocated"])


def _of_line(code: str, waits_for: WaitsFor, message: str, item: Document, details: Mapping[str, Any]) -> Reason:
    return Reason(code, waits_for, message, item["lineId"], item["productId"], details)


def _behind(behind: Behind) -> Reason:
    count = f"{behind.messages:,} {WORK[behind.role]}"
    what = f"{count} are waiting to be handled"
    details = {
        "role": behind.role,
        "topic": behind.topic,
        "partition": behind.partition,
        "messages": behind.messages,
        "workers": behind.workers,
    }
    if not behind.workers:
        message = f"{what}, and no {behind.role} worker is running. An operator has to start one."
        return Reason("CONSUMER_AWAY", "OPERATOR", message, details=details)
    return Reason("CONSUMER_LAGGING", "SYSTEM", f"{what}; some may concern this order.", details=details)


_PARTS: tuple[Callable[[Facts, Document], Iterator[Reason]], ...] = (
    _hold, _reservations, _backorders, _allocated, _shipments, _returns, _ends,
)  # fmt: skip
