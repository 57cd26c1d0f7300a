"""`POST /allocations/preview`: how an order would be allocated now. Nothing is reserved by it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

from aiohttp import web
from msgspec import Meta
from msgspec.structs import replace
from pydantic import Field

from domain.address import Address
from domain.inventory.events import At
from domain.inventory.locations import Moved, chosen, shifted
from domain.inventory.state import ProductStatus
from domain.message import MAX_LINES, Asked, Id, Quantity, written
from domain.orders.commands import FEW
from domain.orders.gathering import common_location
from domain.policy import DEFAULT_LOCATION, AllocationPlan, AllocationPolicy
from projections.document import Document
from web.answers import Answer, answer
from web.commands.bodies import checked
from web.requests import json_body, json_object
from web.services import SERVICES

Lines = list[dict[str, Any]]


class PreviewItem(Asked):
    """A line of an order."""

    product_id: Id
    quantity: Quantity


EXAMPLE: Document = {
    "items": [{"productId": "boots", "quantity": 6}],
    "allocation": {"strategy": "fewest-shipments", "locations": ["berlin"]},
}


class PreviewRequest(Asked):
    """An order, as far as its allocation depends on it."""

    items: Annotated[tuple[PreviewItem, ...], Meta(min_length=1, max_length=MAX_LINES), FEW]
    policy: AllocationPolicy = written(AllocationPolicy.BACKORDER)
    allocation: AllocationPlan | None = None
    shipping_address: Annotated[Address | None, Field(description="for the strategy `nearest`")] = None


async def preview(request: web.Request) -> Answer:
    """Answer with the units that each line would get, and where."""
    services = request.app[SERVICES]
    asked = checked(PreviewRequest, json_object(await json_body(request)))
    plan = services.settings.plan(asked.allocation, asked.shipping_address)
    products = {item.product_id for item in asked.items}
    found = {key: await services.queries.show("inventory", key) for key in sorted(products)}
    stock = {key: places_of(cast(Document, shown[0])) for key, shown in found.items() if shown is not None}
    lines = _lines(asked.items, plan, stock)
    if asked.policy is AllocationPolicy.ALL_OR_NOTHING and any(line["missing"] for line in lines):
        lines = [{**line, "allocated": 0, "missing": line["quantity"], "locations": []} for line in lines]
    parts = {part["location"] for line in lines for part in line["locations"]}
    return answer({"allocation": plan and _shown(plan), "shipments": len(parts), "lines": lines})


def places_of(product: Document) -> tuple[At, ...]:
    """Return the units at each location that a new line may have: none of a discontinued product."""
    if product["status"] == ProductStatus.DISCONTINUED:
        return ()
    if "locations" not in product:
        units = 0 if product["backorderedQuantity"] else product["availableQuantity"]
        return (At(location=DEFAULT_LOCATION, on_hand=units, available=units),)
    return tuple(
        At(
            location=each["location"],
            on_hand=each["availableQuantity"],
            available=each["availableQuantity"],
            closed=not each["open"],
        )
        for each in product["locations"]
    )


def _lines(items: Sequence[PreviewItem], plan: AllocationPlan | None, stock: Mapping[str, tuple[At, ...]]) -> Lines:
    """Return what all lines would get, from one location if the plan asks for it and one has everything."""
    lines = _by_line(items, plan, stock)
    places = {part["location"] for line in lines for part in line["locations"]}
    if plan is None or not plan.one_location or len(places) <= 1 or any(line["missing"] for line in lines):
        return lines
    needed = Counter[str]()
    for item in items:
        needed[item.product_id] += item.quantity
    could = [
        {each.location for each in stock[product] if not each.closed and each.available >= units}
        for product, units in needed.items()
    ]
    whole = [line["locations"][0]["location"] if len(line["locations"]) == 1 else None for line in lines]
    location = common_location(plan, could, whole)
    return lines if location is None else _by_line(items, replace(plan, locations=(location,)), stock)


def _by_line(items: Sequence[PreviewItem], plan: AllocationPlan | None, stock: Mapping[str, tuple[At, ...]]) -> Lines:
    left = dict(stock)
    return [_line(number, item, plan, left) for number, item in enumerate(items, start=1)]


def _line(
    number: int, item: PreviewItem, plan: AllocationPlan | None, stock: dict[str, tuple[At, ...]]
) -> dict[str, Any]:
    """Return what a line would get, and take it from `stock`, because the next line may be for the same product."""
    places = stock.get(item.product_id, ())
    parts = chosen(places, plan, item.quantity)
    stock[item.product_id] = shifted(places, {location: Moved(allocated=units) for location, units in parts.items()})
    allocated = sum(parts.values())
    return {
        "lineId": str(number),
        "productId": item.product_id,
        "quantity": item.quantity,
        "allocated": allocated,
        "missing": item.quantity - allocated,
        "locations": [{"location": location, "quantity": units} for location, units in parts.items()],
    }


def _shown(plan: AllocationPlan) -> Mapping[str, Any]:
    shown = {"strategy": plan.strategy.value, "locations": list(plan.locations)}
    return {**shown, "oneLocation": True} if plan.one_location else shown
