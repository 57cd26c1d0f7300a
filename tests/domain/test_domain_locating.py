"""Orders whose lines get units from several locations, and shipments that leave from one."""

import pytest
from domain_scenarios import OrderScenario, new, place, record, some
from msgspec.structs import replace

from domain import fulfilment
from domain.errors import NotAllocated, SeveralLocations, ShipmentExists
from domain.inventory.commands import RestockReturn, ShipStock, UnshipStock
from domain.orders.commands import (
    CancelShipment,
    CreateShipment,
    DeliverShipment,
    ReceiveReturn,
    RequestReturn,
    UpdateStatus,
    derived_id,
)
from domain.orders.events import OrderPlaced, ShipmentCancelled, ShipmentCreated
from domain.orders.locating import allocated_at
from domain.orders.status import OrderStatus
from domain.policy import AllocationPlan, AllocationStrategy, Granted

given = OrderScenario


def granted(**units: int) -> tuple[Granted, ...]:
    return tuple(Granted(location=location, quantity=each) for location, each in units.items())


SPLIT = (
    place(new(quantity=5), new("socks", 2)),
    record(reserved=5, at=granted(north=3, south=2)),
    record("socks", reserved=2, at=granted(south=2)),
)


def where(scenario: OrderScenario, line_id: str = "1") -> dict[str, int]:
    assert scenario.order is not None
    return allocated_at(scenario.order, scenario.line(line_id))


def test_an_order_carries_how_it_gets_its_units() -> None:
    plan = AllocationPlan(strategy=AllocationStrategy.NEAREST, locations=("north",))
    placed = given().when(place(allocation=plan)).then_types(OrderPlaced)
    (request,) = fulfilment.commands(placed.events[0], "o-1", 1)
    assert request.command.plan == plan  # type: ignore[union-attr]
    assert placed.order is not None
    assert placed.order.allocation == plan


def test_a_line_shows_how_much_is_allocated_where() -> None:
    scenario = given(*SPLIT)
    assert (where(scenario), where(scenario, "2")) == ({"north": 3, "south": 2}, {"south": 2})
    assert where(given(place(), record(reserved=2))) == {"default": 2}


def test_a_shipment_leaves_from_one_location() -> None:
    scenario = given(*SPLIT).when(CreateShipment(shipment_id="s"))
    scenario.then_rejected(SeveralLocations, locations=["north", "south"])
    scenario.when(CreateShipment(shipment_id="s", location="south")).then_types(ShipmentCreated)
    event = scenario.events[0]
    assert ([line.quantity for line in event.lines], event.location) == ([2, 2], "south")
    assert where(scenario) == {"north": 3}
    assert [request.command for request in fulfilment.commands(event, "o-1", 7)] == [
        ShipStock(order_id="o-1", line_id=line_id, shipped=2, order_version=7, location="south") for line_id in "12"
    ]
    scenario.when(CreateShipment(shipment_id="s")).then_quiet()
    scenario.when(CreateShipment(shipment_id="s", location="north"))
    assert type(scenario.refusal) is ShipmentExists
    scenario.when(CreateShipment(shipment_id="t")).then_types(ShipmentCreated)  # the rest is at one location
    assert scenario.events[0].location == "north"


def test_lines_that_fit_one_location_leave_from_there() -> None:
    scenario = given(*SPLIT).when(CreateShipment(shipment_id="s", lines=some(boots=2, socks=1)))
    assert scenario.events[0].location == "south"
    asked = CreateShipment(shipment_id="t", lines=some(boots=3), location="south")
    scenario.when(asked).then_rejected(NotAllocated, lineId="1", asked=3, allocated=0)


def test_a_location_without_the_units_is_refused() -> None:
    few = CreateShipment(lines=some(boots=3), location="south")
    given(*SPLIT).when(few).then_rejected(NotAllocated, lineId="1", asked=3, allocated=2)
    none = CreateShipment(lines=some(socks=1), location="north")
    given(*SPLIT).when(none).then_rejected(NotAllocated, lineId="2", asked=1, allocated=0)
    nowhere = CreateShipment(lines=some(boots=1), location="north")
    given(place(), record(reserved=2)).when(nowhere).then_rejected(NotAllocated, lineId="1", asked=1, allocated=0)


@pytest.mark.parametrize("asked", [None, "default"])
def test_a_shipment_from_default_names_no_location(asked: str | None) -> None:
    history = place(new(quantity=5)), record(reserved=5, at=granted(default=3, north=2))
    scenario = given(*history).when(CreateShipment(lines=some(boots=3), location=asked)).then_types(ShipmentCreated)
    assert scenario.events[0].location is None


def test_units_that_stock_does_not_locate_count_at_its_first_location() -> None:
    scenario = given(*SPLIT)
    assert scenario.order is not None
    line = replace(scenario.line(), at=granted(north=1, south=1))
    assert allocated_at(scenario.order, line) == {"north": 4, "south": 1}
    scenario.when(CreateShipment(lines=some(boots=3), location="north"))
    line = replace(scenario.line(), at=granted(north=3, south=1))
    assert allocated_at(scenario.order, line) == {"north": 1, "south": 1}


def test_a_cancelled_shipment_is_allocated_where_it_left() -> None:
    scenario = given(*SPLIT, CreateShipment(shipment_id="s", location="south")).when(CancelShipment(shipment_id="s"))
    scenario.then_types(ShipmentCancelled)
    assert where(scenario) == {"north": 3, "south": 2}
    (first, _) = [request.command for request in fulfilment.commands(scenario.events[0], "o-1", 8)]
    assert first == UnshipStock(order_id="o-1", line_id="1", shipped=0, order_version=8, location="south")


def test_the_status_shipped_makes_a_shipment_from_each_location() -> None:
    scenario = given(*SPLIT).when(UpdateStatus(status=OrderStatus.SHIPPED, shipment_id="s"))
    scenario.then_types(ShipmentCreated, ShipmentCreated)
    first, second = scenario.events
    assert (first.location, second.location, first.shipment_id) == ("north", "south", "s")
    assert [line.shipped for line in second.lines] == [5, 2]
    assert second.shipment_id == derived_id("shipment/s/2"), "a repeated command must find it"
    scenario.asked_again().then_quiet()


@pytest.mark.parametrize("location", [None, "south"])
def test_a_return_is_put_where_it_is_received(location: str | None) -> None:
    delivered = (CreateShipment(shipment_id="s", location="south"), DeliverShipment(shipment_id="s"))
    scenario = given(*SPLIT, *delivered, RequestReturn(return_id="r", lines=some(boots=1)))
    scenario.when(ReceiveReturn(return_id="r", receipt_id="p", location=location))
    (request,) = fulfilment.commands(scenario.events[0], "o-1", 9)
    assert isinstance(request.command, RestockReturn)
    assert request.command.location == location
