"""What an order waits for, in sentences for a warehouse clerk and codes for a program. Pure: facts → reasons."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from domain.orders.events import CancellationCause
from domain.orders.status import OrderStatus, ShipmentStatus
from projections.document import Document

# who or what has to move before the order does; NOTHING: the reason is where the order has ended
WaitsFor = Literal["STOCK", "WAREHOUSE", "RELEASE", "CARRIER", "CUSTOMER", "OPERATOR", "SYSTEM", "NOTHING"]
WORK = {
    "orders": "commands for orders",
    "inventory": "commands for stock",
    "projector": "events, which are not shown yet",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of an explanation."""

    code: str
    waits_for: WaitsFor
    message: str
    line_id: str | None = None
    product_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> Document:
        """Return it as the API shows it."""
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
    """A line in its product's backorder queue; `units_ahead` is not counted where very many wait before it."""

    waiting: int  # units
    lines_ahead: int  # at most so many where not exact
    units_ahead: int | None
    available: int  # units of the product that nobody has

    @property
    def exact(self) -> bool:
        """Whether those ahead were counted."""
        return self.units_ahead is not None


@dataclass(frozen=True, slots=True)
class Behind:
    """Messages a role has not handled, on a partition where one of them may be about the order."""

    role: str
    topic: str
    partition: int
    messages: int
    workers: int  # of the role that run


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an order now; `order` is its document, None when it is in no read model (yet)."""

    order_id: str
    order: Document | None
    queued: Mapping[str, Queued] = field(default_factory=dict)  # by line
    held: Document | None = None  # the entry of the event that did it, of `order_events`
    cancelled: Document | None = None
    parked: Sequence[Document] = ()  # summaries of the order's letters, and of its products'
    behind: Sequence[Behind] = ()
    unchecked: Sequence[str] = ()  # what could not be looked at, and why


def explain(facts: Facts) -> list[Reason]:
    """Return why the order is where it is, what keeps it most first; never nothing."""
    reasons = [_parked(facts, summary) for summary in facts.parked]
    if facts.order is not None:
        reasons += [reason for part in _PARTS for reason in part(facts, facts.order)]
    reasons += [_behind(each) for each in facts.behind]
    reasons += [Reason("NOT_CHECKED", "OPERATOR", f"This could not be looked at: {what}.") for what in facts.unchecked]
    if not reasons:
        reasons.append(Reason("NOTHING_OPEN", "NOTHING", "Nothing of this order is open."))
    return reasons


def units(count: int) -> str:
    """Return `1 unit`, `1,200 units`."""
    return f"{count:,} unit{'' if count == 1 else 's'}"


def _parked(facts: Facts, summary: Document) -> Reason:
    what, key = summary["aggregate"], summary["aggregateId"]
    behind = summary["letters"] - 1
    others = f" {behind:,} more wait behind it." if behind else ""
    whom = "product" if what == "inventory" else "order"
    message = (
        f"{summary['commandType']} for {whom} {key} could not be handled, because of a fault of ours, "
        f"since {summary['since']}: {summary['message']}.{others} "
        f"An operator mends it, then runs: fulfillment letters retry {what} {key}"
    )
    product = key if what == "inventory" else None
    return Reason("COMMAND_PARKED", "OPERATOR", message, product_id=product, details=summary)


def _hold(facts: Facts, order: Document) -> Iterator[Reason]:
    if order["hold"] is not None and any(_unshipped(item) for item in order["items"]):
        reason, since = order["hold"]["reason"], facts.held["time"] if facts.held else None
        why = f": {reason}" if reason else ", without a reason"
        message = f"The order is on hold{f' since {since}' if since else ''}{why}. Nothing ships until it is released."
        yield Reason("ON_HOLD", "RELEASE", message, details={"reason": reason, "since": since})


def _reservations(facts: Facts, order: Document) -> Iterator[Reason]:
    for item in order["items"]:
        if count := item["pending"]:
            message = f"Line {item['lineId']}: stock has not answered yet for {units(count)} of {item['productId']}."
            yield _of_line("RESERVATION_OUTSTANDING", "SYSTEM", message, item, {"quantity": count})


def _backorders(facts: Facts, order: Document) -> Iterator[Reason]:
    for item in order["items"]:
        if not (count := item["backordered"]):
            continue
        waits = f"Line {item['lineId']}: {units(count)} of {item['productId']} wait for stock"
        if (queued := facts.queued.get(item["lineId"])) is None:
            message = f"{waits}, which has just moved: the order learns of it in a moment."
            yield _of_line("ALLOCATION_UNDER_WAY", "SYSTEM", message, item, {"quantity": count})
            continue
        details = {"quantity": count, "linesAhead": queued.lines_ahead, "exact": queued.exact}
        if queued.units_ahead is not None:
            needed = max(queued.units_ahead + queued.waiting - queued.available, 0)
            details |= {"unitsAhead": queued.units_ahead, "unitsNeeded": needed}
        yield _of_line("BACKORDERED", "STOCK", f"{waits}. {_place(queued, details)}", item, details)


def _place(queued: Queued, details: Mapping[str, Any]) -> str:
    if queued.units_ahead is None:
        return f"Up to {queued.lines_ahead:,} lines of orders wait before it."
    filled = f"It is served once {units(details['unitsNeeded'])} more are on the shelf."
    if not queued.lines_ahead:
        return f"Nobody waits before it. {filled}"
    lines = "1 line of an order waits" if queued.lines_ahead == 1 else f"{queued.lines_ahead:,} lines of orders wait"
    return f"{lines} before it, for {units(queued.units_ahead)}. {filled}"


def _allocated(facts: Facts, order: Document) -> Iterator[Reason]:
    count = sum(item["allocated"] for item in order["items"])
    since = order["_pickableSince"]
    if since is not None:
        message = f"{units(count).capitalize()} are allocated and can be picked since {since}."
        yield Reason("READY_TO_PICK", "WAREHOUSE", message, details={"quantity": count, "since": since})
    elif count and order["hold"] is None:
        message = f"{units(count).capitalize()} are allocated, but the order ships whole or not at all."
        yield Reason("OTHER_LINES_OUTSTANDING", "SYSTEM", message, details={"quantity": count})


def _shipments(facts: Facts, order: Document) -> Iterator[Reason]:
    for shipment in order["shipments"]:
        under_way = sum(line["quantity"] - line["delivered"] for line in shipment["lines"])
        if under_way and shipment["status"] != ShipmentStatus.CANCELLED:
            by = " ".join(shipment[name] for name in ("carrier", "trackingNumber") if shipment[name])
            message = (
                f"Shipment {shipment['shipmentId']}{f' ({by})' if by else ''} is on its way with {units(under_way)}."
            )
            details = {"shipmentId": shipment["shipmentId"], "quantity": under_way}
            yield Reason("IN_TRANSIT", "CARRIER", message, details=details)


def _returns(facts: Facts, order: Document) -> Iterator[Reason]:
    for back in order["returns"]:
        if back["status"] == "OPEN":
            count = sum(line["quantity"] for line in back["lines"])
            message = f"Return {back['returnId']} is announced with {units(count)}; count it in when it arrives."
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
        yield Reason("ORDER_DELIVERED", "NOTHING", "Everything of this order was delivered.")


def _unshipped(item: Document) -> int:
    return int(item["pending"] + item["backordered"] + item["allocated"])


def _of_line(code: str, waits_for: WaitsFor, message: str, item: Document, details: Mapping[str, Any]) -> Reason:
    return Reason(code, waits_for, message, item["lineId"], item["productId"], details)


def _behind(behind: Behind) -> Reason:
    count = f"{behind.messages:,} {WORK[behind.role]}"
    what = f"{count}, are not handled yet" if "," in WORK[behind.role] else f"{count} are not handled yet"
    details = {
        "role": behind.role,
        "topic": behind.topic,
        "partition": behind.partition,
        "messages": behind.messages,
        "workers": behind.workers,
    }
    if not behind.workers:
        message = f"{what}, and no {behind.role} worker is running. An operator starts one."
        return Reason("CONSUMER_AWAY", "OPERATOR", message, details=details)
    return Reason("CONSUMER_LAGGING", "SYSTEM", f"{what}; some may be about this order.", details=details)


_PARTS: tuple[Callable[[Facts, Document], Iterator[Reason]], ...] = (
    _hold, _reservations, _backorders, _allocated, _shipments, _returns, _ends,
)  # fmt: skip
