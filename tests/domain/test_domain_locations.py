"""Stock at several locations: where units are, and from where lines get them."""

from typing import Any

import pytest
from domain_scenarios import StockScenario
from hypothesis import given as drawn
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.errors import (
    InsufficientStock,
    InvalidId,
    InvalidQuantity,
    LocationClosed,
    LocationNotFound,
    StaleQuantity,
    TransferExists,
    TransferNotFound,
)
from domain.inventory import Reservation, backorders, requeueing
from domain.inventory.backorders import head_after
from domain.inventory.commands import (
    AdjustStock,
    CloseLocation,
    CountStock,
    FillBackorders,
    OpenLocation,
    ReceiveStock,
    ReceiveTransfer,
    ReleaseStock,
    ReserveStock,
    RestockReturn,
    SetStock,
    ShipStock,
    TransferStock,
    UnshipStock,
)
from domain.inventory.events import (
    At,
    Held,
    LocationOpened,
    ReservationRejected,
    StockAdjusted,
    StockReceived,
    StockReleased,
    StockRequeued,
    StockReserved,
    StockRestocked,
    StockShipped,
    StockTransferred,
    StockUnshipped,
    TransferReceived,
)
from domain.inventory.events import LocationClosed as Closed
from domain.inventory.locations import chosen, held_at
from domain.message import Command
from domain.policy import MAX_LOCATIONS, AllocationPlan, AllocationPolicy, AllocationStrategy

given = StockScenario
PRIORITY, NEAREST, FEWEST, TOGETHER = AllocationStrategy


def at(location: str, units: int) -> ReceiveStock:
    return ReceiveStock(quantity=units, location=location)


def reserve(
    order: str, units: int, strategy: AllocationStrategy | None = None, *locations: str, **fields: Any
) -> ReserveStock:
    plan = AllocationPlan(strategy=strategy, locations=locations) if strategy else None
    return ReserveStock(order_id=order, line_id="1", quantity=units, order_version=1, plan=plan, **fields)


def places(scenario: StockScenario) -> dict[str, tuple[int, int]]:
    """Return the units on hand and allocated at each location."""
    return {each.location: (each.on_hand, each.allocated) for each in scenario.stock.locations}


def held(scenario: StockScenario, order: str) -> dict[str, int]:
    return {each.location: each.held for each in held_at(scenario.shelf.reservations[order, "1"]) if each.held}


THREE = (ReceiveStock(quantity=4), at("north", 5), at("south", 3))


def test_a_product_at_default_only_has_no_locations() -> None:
    for command in (ReceiveStock(quantity=5), at("default", 5), CountStock(quantity=5, location="default")):
        scenario = given().when(command)
        assert (scenario.stock.locations, scenario.events[0].locations) == ((), ())


def test_units_are_received_adjusted_and_counted_at_a_location() -> None:
    scenario = given(*THREE)
    assert places(scenario) == {"default": (4, 0), "north": (5, 0), "south": (3, 0)}
    scenario.when(AdjustStock(delta=-2, reason="broken", location="north", expected_on_hand=5))
    scenario.then_moved((StockAdjusted, {"delta": -2, "location": "north"})).then_balance(on_hand=10, adjusted=-2)
    scenario.when(CountStock(quantity=7, location="south")).then_moved((StockAdjusted, {"delta": 4}))
    scenario.asked_again().then_quiet()
    scenario.when(SetStock(quantity=1)).then_moved((StockAdjusted, {"delta": -3}))
    assert places(scenario) == {"default": (1, 0), "north": (3, 0), "south": (7, 0)}


def test_an_adjustment_of_an_unknown_location_is_rejected() -> None:
    given(*THREE).when(AdjustStock(delta=1, location="west")).then_rejected(LocationNotFound, location="west")
    asked = AdjustStock(delta=-6, location="north")
    given(*THREE).when(asked).then_rejected(InsufficientStock, productId="boots", asked=6, available=5)
    asked = AdjustStock(delta=1, location="north", expected_on_hand=12)
    given(*THREE).when(asked).then_rejected(StaleQuantity, expected=12, onHand=5)


@pytest.mark.parametrize("command", [at(" north", 1), CountStock(quantity=1, location="no\u200brth")])
def test_the_id_of_a_new_location_is_checked(command: Command) -> None:
    assert type(given(*THREE).when(command).refusal) is InvalidId


def test_a_product_has_a_largest_number_of_locations() -> None:
    full = given(*[at(f"l{number}", 1) for number in range(MAX_LOCATIONS - 1)])
    assert type(full.when(at("one more", 1)).refusal) is InvalidQuantity


# --- transfers


SENT = (*THREE, TransferStock(transfer_id="t", source="north", target="west", quantity=4))


def test_units_are_in_transit_until_they_are_received() -> None:
    scenario = given(*THREE).when(SENT[-1])
    scenario.then_moved((StockTransferred, {"source": "north", "target": "west", "quantity": 4}))
    scenario.then_balance(on_hand=8, available=8, in_transit=4).asked_again().then_quiet()
    scenario.when(ReceiveTransfer(transfer_id="t")).then_moved((TransferReceived, {"quantity": 4, "lost": 0}))
    scenario.then_balance(on_hand=12, in_transit=0, adjusted=0)
    assert places(scenario)["west"] == (4, 0)
    scenario.asked_again().then_rejected(TransferNotFound, transferId="t")


def test_units_that_do_not_arrive_are_lost() -> None:
    scenario = given(*SENT).when(ReceiveTransfer(transfer_id="t", quantity=3))
    scenario.then_moved((TransferReceived, {"quantity": 3, "lost": 1})).then_balance(on_hand=11, adjusted=-1)
    assert type(given(*SENT).when(ReceiveTransfer(transfer_id="t", quantity=5)).refusal) is InvalidQuantity


def test_reserved_units_are_not_transferred() -> None:
    scenario = given(*THREE, reserve("a", 3, PRIORITY, "north"))
    scenario.when(SENT[-1]).then_rejected(InsufficientStock, productId="boots", asked=4, available=2)


def test_a_transfer_with_a_used_id_or_to_nowhere_is_rejected() -> None:
    other = TransferStock(transfer_id="t", source="south", target="west", quantity=1)
    given(*SENT).when(other).then_rejected(TransferExists, transferId="t")
    unknown = TransferStock(transfer_id="u", source="east", target="west", quantity=1)
    given(*SENT).when(unknown).then_rejected(LocationNotFound, location="east")
    same = TransferStock(transfer_id="u", source="north", target="north", quantity=1)
    assert type(given(*SENT).when(same).refusal) is InvalidQuantity


def test_all_available_units_may_be_transferred_but_no_more() -> None:
    everything = replace(SENT[-1], quantity=5)
    scenario = given(*THREE).when(everything)
    assert places(scenario) == {"default": (4, 0), "north": (0, 0), "south": (3, 0), "west": (0, 0)}
    too_many = replace(everything, quantity=6)
    given(*THREE).when(too_many).then_rejected(InsufficientStock, productId="boots", asked=6, available=5)


@pytest.mark.parametrize(("name", "field"), [("transfer_id", "transferId"), ("target", "location")])
def test_the_ids_of_a_transfer_and_of_its_new_location_are_checked(name: str, field: str) -> None:
    refusal = given(*THREE).when(replace(SENT[-1], **{name: " new"})).refusal
    assert type(refusal) is InvalidId
    assert (refusal.details["field"], refusal.details["id"]) == (field, " new")


def test_a_product_has_a_largest_number_of_transfers() -> None:
    one = replace(SENT[-1], quantity=1)
    many = [replace(one, transfer_id=f"t{number}") for number in range(MAX_LOCATIONS)]
    full = given(*THREE, at("north", MAX_LOCATIONS), *many)
    assert len(full.stock.transfers) == MAX_LOCATIONS
    assert type(full.when(replace(one, transfer_id="one more")).refusal) is InvalidQuantity


def test_arriving_units_serve_waiting_lines() -> None:
    scenario = given(*SENT, reserve("a", 10)).when(ReceiveTransfer(transfer_id="t"))
    scenario.then_moved((TransferReceived, {}), (StockReserved, {"order_id": "a", "quantity": 2}))


# --- strategies


@pytest.mark.parametrize(
    ("plan", "units", "expected"),
    [
        (None, 6, {"default": 4, "north": 2}),
        ((PRIORITY, "south"), 6, {"south": 3, "default": 3}),
        ((NEAREST, "south", "north"), 9, {"south": 3, "north": 5, "default": 1}),
        ((FEWEST, "default"), 4, {"default": 4}),
        ((FEWEST, "default"), 5, {"north": 5}),
        ((FEWEST, "default"), 9, {"north": 5, "default": 4}),
        ((TOGETHER, "south"), 3, {"south": 3}),
        ((TOGETHER,), 5, {"north": 5}),
        ((TOGETHER,), 8, {"north": 5}),
    ],
)
def test_a_line_gets_its_units_by_its_strategy(plan: Any, units: int, expected: dict[str, int]) -> None:
    assert held(given(*THREE, reserve("a", units, *(plan or ()))), "a") == expected


def test_a_line_that_is_kept_together_waits_where_it_has_units() -> None:
    scenario = given(*THREE, reserve("a", 8, TOGETHER)).then_balance(allocated=5, backordered=3)
    scenario.when(at("south", 9)).then_types(StockReceived)
    scenario.when(reserve("b", 2, PRIORITY, "south")).then_types(StockReserved)
    scenario.when(at("north", 4)).then_moved((StockReceived, {}), (StockReserved, {"order_id": "a", "quantity": 3}))
    assert held(scenario, "a") == {"north": 8}


# `t` has 5 units at north and waits there for 3 more, at place 0
WAITS = (ReceiveStock(quantity=1), at("north", 5), reserve("t", 8, TOGETHER), reserve("x", 1), reserve("a", 2))


def test_the_queue_begins_after_served_lines_once_none_before_them_waits() -> None:
    scenario = given(*WAITS, reserve("b", 2)).when(at("south", 3))
    scenario.then_moved(
        (StockReceived, {}), (StockReserved, {"order_id": "a", "head": 0}), (StockReserved, {"order_id": "b"})
    )
    scenario.when(ReleaseStock(order_id="t", line_id="1", keep=0, order_version=2))  # leaves holes before `b`
    scenario.when(reserve("c", 9)).when(at("south", 1))
    assert (scenario.stock.queue_head, scenario.shelf.reservations["c", "1"].place) == (3, 3)


def test_a_line_that_is_served_in_part_stays_at_the_head_though_later_lines_are_served() -> None:
    both = reserve("r", 3, PRIORITY, "south", "north")
    scenario = given(at("north", 6), at("south", 2), both, reserve("t", 8, TOGETHER), reserve("a", 2))
    scenario.when(ReleaseStock(order_id="r", line_id="1", keep=0, order_version=2)).then_moved(
        (StockReleased, {}),
        (StockReserved, {"order_id": "t", "quantity": 1, "backordered": 2, "head": 0}),
        (StockReserved, {"order_id": "a", "quantity": 2, "head": 0}),
    )
    scenario.when(at("north", 2)).then_moved((StockReceived, {}), (StockReserved, {"order_id": "t", "quantity": 2}))


def test_events_of_older_code_leave_the_head_where_it_is() -> None:
    scenario = given(*WAITS)
    scenario.when(at("south", 3))
    older = replace(scenario.events[-1], head=None, balance=replace(scenario.balance, backordered=4))
    assert head_after(scenario.stock, older, place=1) == 0


def test_lines_that_wait_for_one_location_do_not_stop_the_lines_behind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backorders, "FILL_LIMIT", 1)
    bound = [each for name in "bcde" for each in (at(name, 1), reserve(name, 2, TOGETHER))]
    scenario = given(*bound, reserve("x", 1), reserve("y", 1)).then_balance(backordered=6)
    scenario.when(at("south", 2)).then_moved((StockReceived, {}), (StockReserved, {"order_id": "x", "more": True}))
    scenario.when(FillBackorders()).then_moved((StockReserved, {"order_id": "y", "more": False}))


def test_lines_that_are_kept_together_are_read_as_far_as_units_may_go() -> None:
    plan = AllocationPlan(strategy=TOGETHER)
    queue = [Reservation(str(place), "1", waiting=9, place=place, plan=plan) for place in range(9)]
    assert [len(backorders.first_waiting(queue, units)) for units in (0, 1, 3)] == [0, 1, 3]


def test_all_or_nothing_that_is_kept_together_is_rejected_if_no_location_has_all() -> None:
    asked = reserve("a", 6, TOGETHER, policy=AllocationPolicy.ALL_OR_NOTHING)
    given(*THREE).when(asked).then_moved((ReservationRejected, {"quantity": 6}))


LOCATIONS = st.lists(
    st.builds(lambda name, units, closed: At(location=name, on_hand=units, available=units, closed=closed),
              st.sampled_from("abcd"), st.integers(0, 9), st.booleans()),
    unique_by=lambda each: each.location, max_size=4,
)  # fmt: skip
PLANS = st.none() | st.builds(
    lambda strategy, order: AllocationPlan(strategy=strategy, locations=tuple(order)),
    st.sampled_from(AllocationStrategy), st.permutations("abcd"),
)  # fmt: skip


@drawn(locations=LOCATIONS, plan=PLANS, units=st.integers(1, 20))
def test_every_strategy_gives_available_units_of_open_locations(
    locations: list[At], plan: AllocationPlan | None, units: int
) -> None:
    parts = chosen(locations, plan, units)
    free = {each.location: each.available for each in locations if not each.closed}
    assert all(0 < part <= free[location] for location, part in parts.items())
    together = plan is not None and plan.strategy is TOGETHER
    most = max(free.values(), default=0) if together else sum(free.values())
    assert sum(parts.values()) == min(units, most)
    if plan is not None and plan.strategy is FEWEST:
        assert sum(sorted(free.values(), reverse=True)[: len(parts) - 1]) < units  # fewer locations have too few


def test_a_manual_reservation_that_is_kept_together_gets_all_units_or_none() -> None:
    plan = AllocationPlan(strategy=TOGETHER)
    asked = ReserveStock(order_id="ann", quantity=6, plan=plan)
    given(*THREE).when(asked).then_rejected(InsufficientStock, productId="boots", asked=6, available=5)
    given(*THREE).when(replace(asked, quantity=5)).then_moved((StockReserved, {"quantity": 5}))


# --- shipping, releasing and returning


SPLIT = (*THREE, reserve("a", 8, PRIORITY, "north", "south"))  # 5 at north, 3 at south
SHIP: dict[str, Any] = {"order_id": "a", "line_id": "1"}


def test_units_leave_the_location_of_their_shipment_and_return_there() -> None:
    scenario = given(*SPLIT).when(ShipStock(**SHIP, shipped=3, location="south", order_version=3))
    scenario.then_moved((StockShipped, {"quantity": 3, "location": "south", "elsewhere": 0, "uncounted": 0}))
    assert places(scenario) == {"default": (4, 0), "north": (5, 5), "south": (0, 0)}
    scenario.when(UnshipStock(**SHIP, shipped=0, location="south", order_version=4)).then_types(StockUnshipped)
    assert (places(scenario)["south"], held(scenario, "a")) == ((3, 3), {"north": 5, "south": 3})


def test_units_that_were_reserved_elsewhere_meanwhile_leave_from_where_they_left() -> None:
    moved = given(*SPLIT[:2], at("south", 3), reserve("a", 3, PRIORITY, "south"), CloseLocation(location="south"))
    moved.when(FillBackorders()).then_moved((StockReserved, {"quantity": 3}))
    moved.when(ShipStock(**SHIP, shipped=3, location="south", order_version=3))
    moved.then_moved((StockShipped, {"quantity": 3, "elsewhere": 3, "uncounted": 0, "more": True}))
    assert places(moved) == {"default": (4, 0), "north": (5, 0), "south": (0, 0)}


def test_a_line_gives_up_what_it_got_last_first() -> None:
    scenario = given(*SPLIT).when(ReleaseStock(**SHIP, keep=4, order_version=3))
    scenario.then_moved((StockReleased, {"quantity": 4, "at": (Held(location="north", held=4),)}))
    assert places(scenario) == {"default": (4, 0), "north": (5, 4), "south": (3, 0)}


def test_returned_units_are_put_where_they_arrive() -> None:
    sent = (*SPLIT, ShipStock(**SHIP, shipped=3, location="south", order_version=3))
    scenario = given(*sent).when(RestockReturn(**SHIP, received=3, damaged=1, location="north", order_version=5))
    figures = next(each for each in scenario.stock.locations if each.location == "north")
    assert (figures.on_hand, figures.damaged) == (7, 1)


def test_a_count_at_a_location_sets_the_newest_reservations_there_back() -> None:
    scenario = given(*SPLIT, reserve("b", 4, PRIORITY, "default")).when(CountStock(quantity=3, location="north"))
    scenario.then_moved((StockRequeued, {"order_id": "a", "quantity": 2, "more": True}), (StockAdjusted, {"delta": -2}))


def test_returned_units_are_at_default_if_the_product_can_have_no_other_location() -> None:
    full = given(*[at(f"l{number}", 1) for number in range(MAX_LOCATIONS - 1)], reserve("a", 1))
    full.when(ShipStock(**SHIP, shipped=1, location="l0", order_version=3))
    full.when(RestockReturn(**SHIP, received=1, location="one more", order_version=5))
    full.then_moved((StockRestocked, {"quantity": 1, "location": None}))
    assert (len(places(full)), places(full)["default"]) == (MAX_LOCATIONS, (1, 0))


@pytest.mark.parametrize(
    "command", [ShipStock(**SHIP, shipped=1, location="west"), RestockReturn(**SHIP, received=1, location=" w")]
)
def test_manual_commands_cannot_name_any_location(command: Command) -> None:
    by_hand = ReserveStock(order_id="a", line_id="1", quantity=2)
    assert type(given(*THREE, by_hand).when(command).refusal) in (LocationNotFound, InvalidId)


# --- opening and closing


def test_a_closed_location_gives_no_units_and_what_it_held_is_reserved_elsewhere() -> None:
    scenario = given(*THREE, reserve("a", 4, PRIORITY, "north")).when(CloseLocation(location="north", reason="fire"))
    scenario.then_moved(
        (Closed, {"location": "north", "reason": "fire"}), (StockRequeued, {"quantity": 4, "more": True})
    )
    scenario.when(FillBackorders()).then_moved((StockReserved, {"order_id": "a", "quantity": 4}))
    assert scenario.shelf.reservations["a", "1"].at == ()  # all at `default`
    scenario.when(CloseLocation(location="north")).then_quiet()
    scenario.when(at("north", 1)).then_rejected(LocationClosed, location="north")
    scenario.when(reserve("b", 9)).then_balance(backordered=6)
    scenario.when(OpenLocation(location="north")).then_moved(
        (LocationOpened, {"location": "north"}), (StockReserved, {"order_id": "b", "quantity": 5})
    )
    scenario.when(OpenLocation(location="north")).then_quiet()


def test_units_that_no_other_location_has_are_waited_for() -> None:
    scenario = given(ReceiveStock(quantity=5), reserve("a", 4)).when(CloseLocation(location="default"))
    scenario.when(FillBackorders()).then_quiet().then_balance(on_hand=5, allocated=0, backordered=4)
    scenario.when(OpenLocation(location="default")).then_balance(allocated=4, backordered=0)


def test_closing_continues_until_all_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requeueing, "REQUEUE_LIMIT", 2)
    many = [reserve(order, 1) for order in "abc"]
    scenario = given(ReceiveStock(quantity=5), *many).when(CloseLocation(location="default"))
    scenario.then_moved((Closed, {"unfinished": True}), (StockRequeued, {}), (StockRequeued, {}))
    scenario.asked_again().then_moved((Closed, {"unfinished": False}), (StockRequeued, {"order_id": "a"}))


def test_lines_set_back_by_an_unfinished_closing_are_served_even_if_nothing_is_left_to_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requeueing, "REQUEUE_LIMIT", 2)
    many = [reserve(order, 1, PRIORITY, "north") for order in "abc"]
    scenario = given(*THREE, *many).when(CloseLocation(location="north"))
    scenario.then_moved(
        (Closed, {"unfinished": True}), (StockRequeued, {"more": False}), (StockRequeued, {"more": True})
    )
    scenario.when(ShipStock(**SHIP, shipped=1, location="north", order_version=2)).when(CloseLocation(location="north"))
    scenario.then_quiet()


def test_a_location_that_does_not_exist_cannot_be_closed_but_opened() -> None:
    given(*THREE).when(CloseLocation(location="west")).then_rejected(LocationNotFound, location="west")
    assert places(given(*THREE).when(OpenLocation(location="west")))["west"] == (0, 0)
    refusal = given(*THREE).when(OpenLocation(location=" west")).refusal
    assert type(refusal) is InvalidId


def test_opening_a_location_leaves_others_closed() -> None:
    closed = [CloseLocation(location=location) for location in ("north", "south")]
    scenario = given(*THREE, *closed).when(OpenLocation(location="north"))
    assert [each.location for each in scenario.stock.locations if each.closed] == ["south"]
