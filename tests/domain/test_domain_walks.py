"""Long random walks from seeds: late and repeated messages need more steps to do harm than hypothesis takes."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from domain_laws import order_adds_up
from domain_scenarios import HOME, WORK, new, place, price
from domain_world import World, at_rest, remembered

from domain.inventory import backorders
from domain.inventory import commands as stock
from domain.inventory.expiring import ExpireReservation
from domain.message import Command
from domain.orders import Order, evolve_order
from domain.orders import commands as order
from domain.orders.deadlines import ReachDeadline, next_deadline
from domain.orders.status import OrderStatus
from domain.policy import MANUAL, AllocationPlan, AllocationPolicy, AllocationStrategy

STEPS = 250
TIMES = ["2026-11-27T12:00:00.000Z", "2026-11-27T18:00:00.000Z"]
PRODUCTS = ["boots", "socks"]
STATUSES = [status for status in OrderStatus if status is not OrderStatus.CANCELLED]


def an_order(dice: Random, several: bool) -> order.PlaceOrder:
    lines = [new(dice.choice(PRODUCTS), dice.randint(1, 6)) for _ in range(dice.randint(1, 3))]
    policy = dice.choice([*AllocationPolicy, AllocationPolicy.BACKORDER])
    locations = dice.choice([(), ("north",), ("south", "default")])
    strategy, together = dice.choice(list(AllocationStrategy)), dice.random() < 0.5
    plan = AllocationPlan(strategy=strategy, locations=locations, one_location=together) if several else None
    deadline: dict[str, Any] = {"ship_by": dice.choice([None, *TIMES]), "when_late": dice.choice(list(order.WhenLate))}
    deadline["backorders_expire_at"] = dice.choice([None, None, *TIMES])
    return place(*lines, policy=policy, allocation=plan, **deadline)


def some_lines(dice: Random) -> tuple[order.LineQuantity, ...]:
    lines = [(dice.choice("1123"), dice.randint(1, 4)) for _ in range(dice.randint(1, 2))]
    return tuple(order.LineQuantity(line_id=line_id, quantity=units) for line_id, units in lines)


def a_count(dice: Random) -> tuple[order.CountedLine, ...]:
    received = dice.randint(0, 3)
    return (order.CountedLine(line_id=dice.choice("12"), received=received, damaged=dice.randint(0, received)),)


def a_hold(dice: Random, hold_id: str | None) -> order.Hold:
    return order.Hold(hold_id=hold_id, until=dice.choice(TIMES), when_over=dice.choice(list(order.WhenOver)))


def an_edit(dice: Random) -> Command:
    """Return a random change of what an order contains."""
    line, product, units = dice.choice(["1", "2", "4", "1.2"]), dice.choice(PRODUCTS), dice.randint(1, 6)
    choices: list[Callable[[], Command]] = [
        lambda: order.AddLine(line_id=dice.choice("456"), product_id=product, quantity=units, price=price()),
        lambda: order.ChangePolicy(policy=dice.choice([*AllocationPolicy])),
        lambda: order.ChangeShippingAddress(shipping_address=dice.choice([HOME, WORK])),
        *[lambda: order.ChangeQuantity(line_id=line, quantity=units)] * 2,
        lambda: order.ReplaceProduct(line_id=line, new_line_id=dice.choice("456"), product_id=product),
    ]
    return dice.choice(choices)()


def a_change(dice: Random, several: bool) -> Command:
    """Return a random command of a client or of a timer to an order."""
    shipment, back, hold = dice.choice(["s1", "s2", "s3"]), dice.choice(["r1", "r2"]), dice.choice([None, "h1"])
    part = dice.choice([None, some_lines(dice)])
    location = dice.choice([None, "default", "north", "south"]) if several else None
    choices: list[Callable[[], Command]] = [
        lambda: dice.choice(
            [order.CancelOrder(), order.Hold(hold_id=hold), a_hold(dice, hold), *[order.Release(hold_id=hold)] * 2]
        ),
        *[lambda: order.CancelLines(lines=some_lines(dice))] * 2,
        lambda: ReachDeadline(now=dice.choice(TIMES)),
        *[lambda: order.CreateShipment(shipment_id=shipment, lines=part, location=location)] * 3,
        *[lambda: order.DeliverShipment(shipment_id=shipment, lines=part)] * 2,
        *[lambda: order.CancelShipment(shipment_id=shipment)] * 2,
        lambda: order.CloseShipment(shipment_id=shipment, rest=dice.choice(list(order.Rest))),
        *[lambda: an_edit(dice)] * 2,
        lambda: order.RequestReturn(return_id=back, lines=some_lines(dice)),
        lambda: order.ReceiveReturn(return_id=back, lines=dice.choice([None, a_count(dice)])),
        lambda: order.UpdateStatus(status=dice.choice(STATUSES)),
    ]
    return dice.choice(choices)()


def a_move_between_locations(dice: Random) -> Command:
    """Return a random command about one of three locations."""
    here, there = dice.sample(["default", "north", "south"], 2)
    choices: list[Callable[[], Command]] = [
        lambda: stock.ReceiveStock(quantity=dice.randint(1, 6), location=here),
        lambda: stock.AdjustStock(delta=dice.choice([-3, -1, 2]), location=here),
        lambda: stock.CountStock(quantity=dice.randint(0, 6), location=here),
        *[
            lambda: stock.TransferStock(
                transfer_id=dice.choice("tu"), source=here, target=there, quantity=dice.randint(1, 4)
            )
        ]
        * 2,
        *[lambda: stock.ReceiveTransfer(transfer_id=dice.choice("tu"), quantity=dice.choice([None, None, 1]))] * 2,
        lambda: stock.CloseLocation(location=here),
        *[lambda: stock.OpenLocation(location=here)] * 2,
    ]
    return dice.choice(choices)()


def a_move(dice: Random, several: bool) -> Command:
    """Return a random command of a client or of a timer to stock."""
    choices: list[Callable[[], Command]] = [
        *[lambda: stock.ReceiveStock(quantity=dice.randint(1, 6))] * 2,
        lambda: stock.SetStock(quantity=dice.randint(0, 12)),
        lambda: stock.AdjustStock(delta=dice.randint(-4, 4)),
        lambda: stock.CountStock(quantity=dice.randint(0, 8)),
        *([lambda: a_move_between_locations(dice)] * 6 if several else []),
        lambda: stock.ReserveStock(order_id="a", quantity=dice.randint(1, 3), expires_at=dice.choice([None, *TIMES])),
        lambda: ExpireReservation(order_id="a", line_id=MANUAL, now=dice.choice(TIMES)),
        lambda: stock.ReleaseStock(order_id="a", quantity=dice.randint(1, 3)),
        lambda: dice.choice([stock.DiscontinueProduct(), stock.ReactivateProduct(), stock.ReactivateProduct()]),
    ]
    return dice.choice(choices)()


def step(world: World, dice: Random, keys: str, haste: float, several: bool = False) -> None:
    """Deliver a message, perhaps twice or again, or send a new command."""
    chance = dice.random()
    if chance < haste:
        world.deliver(dice.randrange(100), twice=chance < haste / 6)
    elif chance < haste + 0.15:
        world.deliver_again(dice.randrange(1_000_000))
    elif dice.random() < (0.3 if len(world.placed) < len(keys) else 0.02):
        world.tell("order", dice.choice(keys), an_order(dice, several))
    elif dice.random() < 0.7:
        world.tell("order", dice.choice(keys), a_change(dice, several))
        world.archive(dice.choice(keys))
    else:
        world.tell("inventory", dice.choice(PRODUCTS), a_move(dice, several))


def walk(seed: int) -> None:
    dice, world, several = Random(seed), World(), seed % 2 == 1
    keys, haste = dice.choice(["a", "abcd", "abcdefgh"]), dice.choice([0.15, 0.35, 0.6])
    for product in PRODUCTS:
        world.tell("inventory", product, stock.SetStock(quantity=dice.randint(0, 20)))
    for number in range(STEPS):
        step(world, dice, keys, haste, several)
        if number % 10 == 0:
            for each in world.placed.values():
                order_adds_up(each)
        for key, each in world.placed.items() if number % 50 == 0 else ():
            world.tell("order", key, ReachDeadline(now=TIMES[0]))
            due = next_deadline(world.placed[key])  # nothing stays due: its timer would fire without end
            assert due is None or due > TIMES[0], each
    for _ in range(2):  # repeating any message at rest has no effect either
        world.settle()
        at_rest(world)
        for _ in range(30):
            world.deliver_again(dice.randrange(1_000_000))
    remembered(world)


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_orders_and_stock_agree_after_every_walk(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backorders, "FILL_LIMIT", 2)
    for seed in range(first, first + 50):
        walk(seed)


def drawn() -> set[tuple[str, str, str]]:
    """Return the arrows of the first diagram of states in the architecture: from, to, and an event."""
    text = (Path(__file__).parents[2] / "docs/architecture.md").read_text()
    diagram = text.partition("stateDiagram-v2")[2].partition("```")[0]
    arrows = re.findall(r"^  (\S+) --> (\S+): (.+)$", diagram, re.MULTILINE)
    return {(before, after, event) for before, after, events in arrows for event in events.split(", ")}


def walked(seed: int) -> Iterator[tuple[str, str, str]]:
    """Yield each change of an order's status in a walk: from, to, and the event."""
    dice, world = Random(seed), World()
    for product in PRODUCTS:
        world.tell("inventory", product, stock.SetStock(quantity=dice.randint(0, 20)))
    for _ in range(STEPS):
        step(world, dice, "abcd", 0.35)
    for (aggregate, _), history in world.histories.items():
        state: Order | None = None
        for event in history if aggregate == "order" else []:
            before, state = state.status.value if state else "[*]", evolve_order(state, event)
            if before != state.status.value:
                yield before, state.status.value, type(event).__name__


def test_the_diagram_of_states_shows_every_change_of_status() -> None:
    missing = {change for seed in range(50) for change in walked(seed)} - drawn()
    assert not missing, "draw these changes in docs/architecture.md, States"
