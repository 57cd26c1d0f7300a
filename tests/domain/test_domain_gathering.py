"""Orders that ask for one location: proposals, the answers of stock, and what happens if a line cannot move."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from domain_scenarios import BACKORDER, OrderScenario, StockScenario, new, place, record, some
from domain_world import World, at_rest, remembered
from fulfilment_scenarios import STOCK_VERSION, given_stock, to_order
from msgspec.structs import replace

from domain.errors import AllocationPending, OrderLineByHand
from domain.fulfilment import MOST_LOCATIONS, commands
from domain.inventory.commands import (
    CloseLocation,
    FillBackorders,
    MoveReservation,
    ReceiveStock,
    ReserveStock,
    ShipStock,
)
from domain.inventory.events import ReservationMoved
from domain.inventory.locations import held_at
from domain.orders.commands import CancelLines, CancelOrder, CreateShipment, RecordAllocation, UpdateStatus
from domain.orders.events import AllocationRecorded, LocationProposed, OrderCancelled, ProposedLine, ShipmentCreated
from domain.orders.gathering import MAX_PROPOSALS
from domain.orders.locating import locations_of
from domain.orders.status import OrderStatus
from domain.policy import AllocationPlan, AllocationPolicy, AllocationStrategy, Granted

given = OrderScenario
TOGETHER = AllocationPlan(one_location=True)
BOOTS, SOCKS = (ProposedLine(line_id=line, product_id=product) for line, product in (("1", "boots"), ("2", "socks")))


def placed(**plan: Any) -> Any:
    return place(new(quantity=5), new("socks", 2), allocation=replace(TOGETHER, **plan))


def at(product: str, version: int, *could: str, proposal: int = 0, **units: int) -> RecordAllocation:
    """Return stock's report of where a line's units are, and of locations that could give all of them."""
    granted = tuple(Granted(location=location, quantity=each) for location, each in units.items())
    reserved = sum(units.values())
    return record(product, version, reserved=reserved, at=granted, could=could, proposal=proposal)


SPLIT = (placed(), at("boots", 1, "south", "west", north=3, south=2), at("socks", 1, "south", "west", south=2))
REFUSED = (*SPLIT, at("boots", 2, "west", proposal=1, north=3, south=2))


def proposed(number: int, location: str | None, *lines: ProposedLine) -> LocationProposed:
    return LocationProposed(proposal=number, location=location, lines=lines)


# --- the order


def test_an_order_proposes_a_location_that_could_give_all_of_its_lines() -> None:
    scenario = given(*SPLIT[:-1]).when(SPLIT[-1]).then_types(AllocationRecorded, LocationProposed)
    assert scenario.events[-1] == proposed(1, "south", BOOTS)  # it has the socks
    scenario.asked_again().then_quiet()


def test_the_order_of_the_plan_decides_between_locations() -> None:
    given(placed(locations=("west",)), SPLIT[1]).when(SPLIT[2]).then_types(AllocationRecorded, LocationProposed)
    scenario = given(placed(locations=("west",)), SPLIT[1]).when(SPLIT[2])
    assert scenario.events[-1] == proposed(1, "west", BOOTS, SOCKS)


@pytest.mark.parametrize(
    "history",
    [
        (place(new(quantity=5), new("socks", 2)), *SPLIT[1:]),  # it does not ask for one location
        (placed(), at("boots", 1, "south", south=5), at("socks", 1, "south", south=2)),  # it is at one
        (placed(), at("boots", 1, "north", north=5), at("socks", 1, "south", south=2)),  # no location could give all
        (placed(), at("boots", 1, "north", "south", north=5)),  # stock has not answered for the socks
        (
            placed(),
            at("boots", 1, "south", north=5),
            record("socks", 1, reserved=1, backordered=1, at=(Granted(location="south", quantity=1),)),
        ),
    ],
    ids=["not asked", "at one", "none", "pending", "waiting"],
)
def test_an_order_proposes_nothing(history: tuple[Any, ...]) -> None:
    given(*history[:-1]).when(history[-1]).then_types(AllocationRecorded)


def test_an_order_that_has_begun_to_ship_proposes_nothing() -> None:
    scenario = given(placed(), at("boots", 1, "south", north=5), CreateShipment(shipment_id="s", lines=some(boots=1)))
    scenario.when(at("socks", 1, "south", south=2)).then_types(AllocationRecorded)


def test_an_order_is_together_once_the_lines_have_moved() -> None:
    scenario = given(*SPLIT).when(at("boots", 2, "south", proposal=1, south=5)).then_types(AllocationRecorded)
    scenario.asked_again().then_quiet()
    scenario.when(CreateShipment(shipment_id="s")).then_types(ShipmentCreated)
    assert scenario.events[0].location == "south"


def test_a_line_that_cannot_move_leads_to_another_proposal() -> None:
    scenario = given(*SPLIT).when(REFUSED[-1]).then_types(AllocationRecorded, LocationProposed)
    assert scenario.events[-1] == proposed(2, "west", BOOTS, SOCKS)


def test_lines_that_moved_in_vain_choose_by_their_own_plan_again() -> None:
    scenario = given(*REFUSED, at("boots", 3, "west", proposal=2, west=5))
    scenario.when(at("socks", 2, "south", proposal=2, south=2)).then_types(AllocationRecorded, LocationProposed)
    assert scenario.events[-1] == proposed(3, None, BOOTS)
    scenario.when(at("boots", 4, "west", proposal=3, north=3, south=2)).then_types(AllocationRecorded)
    scenario.when(CreateShipment(shipment_id="s", lines=some(socks=1))).then_types(ShipmentCreated)


def test_an_order_proposes_a_limited_number_of_locations() -> None:
    scenario = given(*SPLIT)
    for number in range(1, MAX_PROPOSALS):
        scenario.when(at("boots", number + 1, "south", proposal=number, north=3, south=2))
        scenario.then_types(AllocationRecorded, LocationProposed)
    scenario.when(at("boots", 9, "south", proposal=MAX_PROPOSALS, north=3, south=2)).then_types(AllocationRecorded)


def test_an_order_ships_only_after_the_answers() -> None:
    given(*SPLIT).when(CreateShipment(shipment_id="s")).then_rejected(AllocationPending, lines=["1"])
    socks = CreateShipment(shipment_id="s", lines=some(socks=1))
    given(*SPLIT).when(socks).then_rejected(AllocationPending, lines=["1"])
    shipped = UpdateStatus(status=OrderStatus.SHIPPED, shipment_id="s")
    given(*SPLIT).when(shipped).then_rejected(AllocationPending, lines=["1"])


def test_an_order_can_be_cancelled_while_lines_move() -> None:
    scenario = given(*SPLIT, CancelOrder())
    scenario.when(at("boots", 2, proposal=1, south=5)).then_types(AllocationRecorded)
    given(*SPLIT).when(CancelOrder()).then_types(OrderCancelled)


def test_a_proposal_follows_when_the_line_that_waits_is_cancelled() -> None:
    waiting = record(
        "socks", 1, reserved=1, backordered=1, at=(Granted(location="south", quantity=1),), could=("south",)
    )
    scenario = given(placed(), at("boots", 1, "south", north=5), waiting, CancelLines(lines=some(socks=1)))
    scenario.when(at("socks", 2, south=1)).then_types(LocationProposed)


# --- stock

THREE = (
    ReceiveStock(quantity=4),
    ReceiveStock(quantity=5, location="north"),
    ReceiveStock(quantity=3, location="south"),
)
LINE: dict[str, Any] = {"order_id": "o-1", "line_id": "1"}


def reserve(units: int, **fields: Any) -> ReserveStock:
    return ReserveStock(**LINE, quantity=units, order_version=1, **{"plan": TOGETHER, **fields})


def move(location: str | None, version: int = 2) -> MoveReservation:
    return MoveReservation(**LINE, location=location, proposal=version - 1, order_version=version)


def held(scenario: StockScenario) -> dict[str, int]:
    return {each.location: each.held for each in held_at(scenario.shelf.reservations["o-1", "1"]) if each.held}


def test_a_line_moves_as_a_whole_and_once() -> None:
    scenario = StockScenario(*THREE, reserve(5)).when(move("north"))
    scenario.then_moved((ReservationMoved, {"quantity": 4, "reserved": 5, "proposal": 1, "more": False}))
    assert held(scenario) == {"north": 5}
    scenario.then_balance(on_hand=12, allocated=5).asked_again().then_quiet()
    scenario.when(ShipStock(**LINE, shipped=5, order_version=3, location="north"))
    assert scenario.events[0].elsewhere == 0


@pytest.mark.parametrize("location", ["south", "west", "default"])
def test_a_line_stays_where_it_is_if_the_location_lacks_units(location: str) -> None:
    scenario = StockScenario(*THREE, reserve(5)).when(move(location))
    scenario.then_moved((ReservationMoved, {"quantity": 0, "proposal": 1}))
    assert held(scenario) == {"default": 4, "north": 1}


def test_a_line_does_not_move_to_a_closed_location() -> None:
    scenario = StockScenario(*THREE, reserve(5), CloseLocation(location="north")).when(move("north"))
    scenario.then_moved((ReservationMoved, {"quantity": 0}))


def test_a_line_of_a_product_without_locations_stays() -> None:
    for location in ("default", "north", None):
        scenario = StockScenario(ReceiveStock(quantity=4), reserve(3)).when(move(location))
        scenario.then_moved((ReservationMoved, {"quantity": 0, "at": (), "locations": ()}))


def test_a_line_chooses_by_its_own_plan_again() -> None:
    scenario = StockScenario(*THREE, reserve(5), move("north")).when(move(None, 3))
    scenario.then_moved((ReservationMoved, {"quantity": 4, "proposal": 2}))
    assert held(scenario) == {"default": 4, "north": 1}


def test_only_the_order_moves_its_line_and_a_manual_one_moves_too() -> None:
    by_hand = MoveReservation(**LINE, location="north")
    StockScenario(*THREE, reserve(5)).when(by_hand).then_rejected(OrderLineByHand, orderId="o-1", lineId="1")
    basket = MoveReservation(order_id="b", location="north")
    scenario = StockScenario(*THREE, ReserveStock(order_id="b", quantity=2)).when(basket)
    scenario.then_moved((ReservationMoved, {"quantity": 2})).asked_again().then_quiet()


def test_lines_that_wait_may_get_the_units_a_line_moved_from() -> None:
    apart = AllocationPlan(strategy=AllocationStrategy.KEEP_TOGETHER)
    waits = ReserveStock(order_id="w", line_id="1", quantity=6, order_version=1, plan=apart)
    scenario = StockScenario(ReceiveStock(quantity=4), reserve(2), waits, ReceiveStock(quantity=5, location="north"))
    scenario.when(move("north")).then_moved((ReservationMoved, {"quantity": 2, "more": True}))
    scenario.when(FillBackorders())
    assert [(each.order_id, each.quantity) for each in scenario.events] == [("w", 2)]


# --- between them


def test_the_lines_of_a_proposal_are_moved() -> None:
    (request,) = commands(proposed(1, "south", BOOTS), "o-1", 4)
    assert request.command == MoveReservation(**LINE, location="south", proposal=1, order_version=4)


def test_stock_reports_which_locations_could_give_a_whole_line() -> None:
    granted = (Granted(location="default", quantity=4), Granted(location="north", quantity=1))
    answer = record(version=STOCK_VERSION, reserved=5, at=granted, could=("north",))
    given_stock(*THREE, reserve(5)).then_sends(to_order(answer))
    given_stock(*THREE, reserve(5, plan=None)).then_sends(to_order(replace(answer, could=())))
    moved = record(version=STOCK_VERSION, reserved=5, at=(Granted(location="north", quantity=5),), could=("north",))
    given_stock(*THREE, reserve(5), move("north")).then_sends(to_order(replace(moved, proposal=1)))
    given_stock(ReceiveStock(quantity=1), reserve(1)).then_sends(
        to_order(record(version=STOCK_VERSION, reserved=1, could=("default",)))
    )
    many = [ReceiveStock(quantity=1, location=f"l-{number}") for number in range(MOST_LOCATIONS + 5)]
    preferred = replace(TOGETHER, locations=("l-13",))
    (request,) = given_stock(*many, reserve(1, plan=preferred)).sent
    assert isinstance(request.command, RecordAllocation)
    assert request.command.could[:2] == ("l-13", "l-0")
    assert len(request.command.could) == MOST_LOCATIONS


# --- many orders and hot products

PRODUCTS, LOCATIONS = ("boots", "socks", "hats"), ("default", "north", "south")
STEPS = 80


def is_extra(command: Any) -> bool:
    """Return whether a command is in flight only because orders propose locations."""
    return isinstance(command, MoveReservation | FillBackorders) or getattr(command, "proposal", 0) > 0


def deliver(world: World, dice: Random) -> None:
    """Deliver the next command of a random queue, and the extra ones before it."""
    ways = sorted(way for way, queue in world.under_way.items() if not all(map(is_extra, queue)))
    if ways:
        way = dice.choice(ways)
        extra = True
        while extra:
            extra = is_extra(world.under_way[way][0])
            world.deliver(sorted(world.under_way).index(way))


def deliver_extra(world: World, dice: Random) -> None:
    """Deliver an extra command that is the first of its queue."""
    ways = [number for number, way in enumerate(sorted(world.under_way)) if is_extra(world.under_way[way][0])]
    if ways:
        world.deliver(dice.choice(ways), twice=dice.random() < 0.2)


def a_command(dice: Random, number: int, together: bool) -> tuple[str, str, Any]:
    """Return a new order, a receipt or a cancellation; the same ones whether orders ask for one location or not."""
    chance = dice.random()
    if chance < 0.35:
        lines = [new(dice.choice(PRODUCTS), dice.randint(1, 4)) for _ in range(dice.randint(1, 3))]
        locations = dice.choice([(), ("north",), ("south", "north")])
        strategy = dice.choice([each for each in AllocationStrategy if each != AllocationStrategy.KEEP_TOGETHER])
        plan = AllocationPlan(strategy=strategy, locations=locations, one_location=together)
        policy = dice.choice([BACKORDER, BACKORDER, *AllocationPolicy])
        return "order", f"o-{number}", place(*lines, policy=policy, allocation=plan)
    if chance < 0.9:
        received = ReceiveStock(quantity=dice.randint(1, 5), location=dice.choice(LOCATIONS))
        return "inventory", dice.choice(PRODUCTS), received
    order = f"o-{dice.randrange(number + 1)}"
    return "order", order, dice.choice([CancelOrder(), CancelLines(lines=some(boots=1))])


def day(seed: int, together: bool) -> World:
    """Return the world after a day on which several orders compete for a few products."""
    dice, extra, world = Random(seed), Random(seed), World()
    for product in PRODUCTS:
        for location in LOCATIONS:
            world.tell("inventory", product, ReceiveStock(quantity=dice.randint(1, 6), location=location))
    for number in range(STEPS):
        world.tell(*a_command(dice, number, together))
        for _ in range(dice.randint(0, 3)):
            deliver(world, dice)
        if extra.random() < 0.5:
            deliver_extra(world, extra)
    while any(not all(map(is_extra, queue)) for queue in world.under_way.values()):
        deliver(world, dice)
    world.settle()
    at_rest(world)
    remembered(world)
    return world


def outcome(world: World) -> dict[str, list[tuple[int, int, int]]]:
    return {
        key: [(line.allocated, line.backordered, line.cancelled) for line in order.lines]
        for key, order in world.placed.items()
    }


def shipments(world: World) -> int:
    """Return how many parcels the allocated units of all orders make."""
    return sum(len(locations_of(order)) for order in world.placed.values())


def test_every_order_gets_what_it_would_get_without_proposals_at_fewer_locations() -> None:
    seen = Counter[str]()
    for seed in range(60):
        together, apart = day(seed, together=True), day(seed, together=False)
        assert outcome(together) == outcome(apart)
        seen["fewer shipments"] += shipments(apart) - shipments(together)
        for (_, key), history in together.histories.items():
            proposals = [event for event in history if isinstance(event, LocationProposed)]
            assert len(proposals) <= MAX_PROPOSALS + 1, key
            assert sum(each.location is not None for each in proposals) <= MAX_PROPOSALS
            moves = [event.quantity for event in history if isinstance(event, ReservationMoved)]
            seen["in vain"] += sum(each.location is None for each in proposals)
            seen["refused"] += moves.count(0)
            seen["moved"] += len(moves) - moves.count(0)
        assert not any(isinstance(event, LocationProposed) for each in apart.histories.values() for event in each)
    assert min(seen[each] for each in ("fewer shipments", "in vain", "refused", "moved")) > 0, seen
