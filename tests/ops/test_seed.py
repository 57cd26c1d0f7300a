"""`fulfillment seed` creates the expected data, once."""

import asyncio
import math
from collections import Counter

import pytest
from system import Api, System

from domain.orders.state import OrderStatus
from ops.kafka import records
from ops.seeding.data import LOCATIONS, PATTERN, Seed
from streams.topics import ORDER_EVENTS

OF_TWENTY = {"CANCELLED": 3, "SHIPPED": 6, "DELIVERED": 4, "REGISTERED": 7}


@pytest.mark.parametrize("orders", [1, 7, 20, 33, 50, 100])
def test_any_number_of_orders_has_the_same_proportions(orders: int) -> None:
    seed = Seed(42, orders)
    found = Counter(seed.expected(number).value for number in range(orders))
    assert found.total() == orders
    for status, of_twenty in OF_TWENTY.items():
        exact = of_twenty * orders / len(PATTERN)
        assert math.floor(exact) <= found[status] <= math.ceil(exact)


def test_the_same_seed_is_the_same_data_and_another_is_not() -> None:
    assert Seed(1, 5).order(3) == Seed(1, 500).order(3)
    assert Seed(1, 5).order(3).data != Seed(2, 5).order(3).data
    assert list(Seed(1, 5).deliveries()) == list(Seed(1, 100).deliveries())


def test_the_stock_is_enough_for_every_order() -> None:
    seed = Seed(42, 600)
    needed, received = Counter[str](), Counter[str]()
    for number in range(seed.orders):
        for line in seed.order(number).data["lines"]:
            needed[line["productId"]] += line["quantity"]
    for delivery in seed.deliveries():
        received[delivery.product_id] += delivery.quantity
    assert all(received[product] >= units for product, units in needed.items())


async def statuses(api: Api, seed: Seed) -> Counter[str]:
    """Return the orders of `seed` in the read model, by status."""
    found = [await api("GET", f"/orders/{seed.order_id(number)}") for number in range(seed.orders)]
    assert {status for status, _, _ in found} == {200}
    return Counter(answer["data"]["status"] for _, answer, _ in found)


async def test_a_seed_gives_the_expected_states_and_a_second_changes_nothing(system: System, api: Api) -> None:
    first = await asyncio.to_thread(system.run, "seed", "--seed", "901")
    assert await statuses(api, Seed(901, 20)) == OF_TWENTY
    assert "20 orders in" in first.stdout
    await asyncio.to_thread(system.quiet)
    before = records.ends(system.settings, ORDER_EVENTS.name)
    second = await asyncio.to_thread(system.run, "seed", "--seed", "901")
    assert "nothing was written" in second.stdout
    await asyncio.to_thread(system.quiet)
    assert records.ends(system.settings, ORDER_EVENTS.name) == before
    assert await statuses(api, Seed(901, 20)) == OF_TWENTY


async def test_a_larger_seed_adds_to_a_smaller_one(system: System, api: Api) -> None:
    await asyncio.to_thread(system.run, "seed", "--seed", "902", "--orders", "20")
    larger = await asyncio.to_thread(system.run, "seed", "--seed", "902", "--orders", "200")
    assert "20 of them existed already" in larger.stdout
    assert await statuses(api, Seed(902, 200)) == {status: 10 * orders for status, orders in OF_TWENTY.items()}


async def test_a_shop_with_three_locations_splits_moves_and_closes(system: System, api: Api) -> None:
    options = ("seed", "--seed", "904", "--orders", "40", "--locations", "3")
    await asyncio.to_thread(system.run, *options)
    seed = Seed(904, 40, 3)
    assert await statuses(api, seed) == {status: 2 * orders for status, orders in OF_TWENTY.items()}
    found = [(await api("GET", f"/orders/{seed.order_id(number)}"))[1]["data"] for number in range(seed.orders)]
    assert {shipment["location"] for order in found for shipment in order["shipments"]} <= set(LOCATIONS)
    assert any(order["returnStatus"] != "NONE" for order in found)
    for product in seed.products:
        places = (await api("GET", f"/inventory/{product}"))[1]["data"]["locations"]
        last = next(each for each in places if each["location"] == LOCATIONS[-1])
        assert (last["open"], last["allocatedQuantity"]) == (False, 0)
    again = await asyncio.to_thread(system.run, *options)
    assert "nothing was written" in again.stdout


async def test_an_order_that_was_changed_since_is_named(system: System, api: Api) -> None:
    await asyncio.to_thread(system.run, "seed", "--seed", "903")
    seed = Seed(903, 20)
    registered = next(n for n in range(20) if seed.expected(n) is OrderStatus.REGISTERED)
    await api("DELETE", f"/orders/{seed.order_id(registered)}")
    await api.order(seed.order_id(registered), lambda order: order["status"] == "CANCELLED")
    again = await asyncio.to_thread(system.run, "seed", "--seed", "903", check=False)
    assert again.returncode == 1
    assert f"{seed.order_id(registered)} is CANCELLED, expected REGISTERED" in again.stdout


def test_an_unreachable_api_is_reported(system: System) -> None:
    system.env, before = system.env | {"FULFILLMENT_HTTP_PORT": "19"}, system.env
    try:
        said = system.run("seed", check=False)
    finally:
        system.env = before
    assert said.returncode == 69
    assert "fulfillment up" in said.stderr
