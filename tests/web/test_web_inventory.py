"""A product's stock over HTTP, and every no it can get."""

from collections.abc import Callable
from typing import Any

import pytest
from system import Api, eventually

Unique = Callable[[str], str]


async def test_answers_contain_the_quantities(api: Api, unique: Unique) -> None:
    product = unique("boots")

    async def ask(method: str, path: str, body: Any = None) -> tuple[int, int, int]:
        status, answer, _ = await api(method, f"/inventory/{product}{path}", body)
        assert status == 200, answer
        data = answer["data"]
        assert (data["id"], data["productId"]) == (product, product)
        return data["availableQuantity"], data["allocatedQuantity"], data["onHandQuantity"]

    assert await ask("PUT", "", {"quantity": 100}) == (100, 0, 100)
    assert await ask("POST", "/receive", {"quantity": 10}) == (110, 0, 110)
    assert await ask("POST", "/adjust", {"delta": -5, "reason": "broken", "expectedOnHand": 110}) == (105, 0, 105)
    assert await ask("POST", "/allocate", {"orderId": "o-1", "quantity": 3}) == (102, 3, 105)
    assert await ask("POST", "/return", {"orderId": "o-1", "quantity": 2}) == (104, 1, 105)
    assert await ask("POST", "/discontinue", {"reason": "end of line"}) == (104, 1, 105)
    assert await ask("POST", "/reactivate") == (104, 1, 105)
    _, answer, headers = await api("PUT", f"/inventory/{product}", {"quantity": 7})
    token = {"Consistency-Token": headers["Consistency-Token"]}
    status, answer, _ = await api("GET", f"/inventory/{product}", headers=token)
    assert (status, answer["data"]["availableQuantity"]) == (200, 7)
    _, ledger, _ = await api("GET", f"/inventory/{product}/ledger", headers=token)
    assert sum(entry["delta"] for entry in ledger["data"]) == 8
    _, held, _ = await api("GET", f"/inventory/{product}/reservations", headers=token)
    assert [(each["orderId"], each["held"]) for each in held["data"]] == [("o-1", 1)]


async def test_a_count_below_what_is_reserved_is_recorded_and_names_the_lines_that_wait_again(
    api: Api, unique: Unique
) -> None:
    product = unique("missing")
    await api.stock(product, 5)
    older, newer = [(await api.place((product, 2)))["id"] for _ in range(2)]
    for order in (older, newer):
        await api.order(order, lambda found: found["allocationStatus"] == "ALLOCATED")
    status, answer, _ = await api("POST", f"/inventory/{product}/count", {"quantity": 3, "reason": "stocktaking"})
    data = answer["data"]
    assert (status, data["onHandQuantity"], data["allocatedQuantity"], data["backorderedQuantity"]) == (200, 3, 3, 1)
    assert data["returnedToWaiting"] == [{"orderId": newer, "lineId": "1", "quantity": 1}]
    found = await api.order(newer, lambda found: found["allocationStatus"] == "PARTIALLY_ALLOCATED")
    assert (found["items"][0]["allocated"], found["items"][0]["backordered"]) == (1, 1)
    status, answer, _ = await api("POST", f"/inventory/{product}/adjust", {"delta": 1, "reason": "found"})
    assert (status, answer["data"]["backorderedQuantity"]) == (200, 0)
    await api.order(newer, lambda found: found["allocationStatus"] == "ALLOCATED")


async def test_stock_is_received_transferred_and_reserved_by_location(api: Api, unique: Unique) -> None:
    product = unique("spread")

    async def ask(path: str, body: Any = None) -> dict[str, tuple[int, int]]:
        status, answer, _ = await api("POST", f"/inventory/{product}{path}", body)
        assert status == 200, answer
        found = answer["data"].get("locations", [])
        return {each["location"]: (each["onHandQuantity"], each["allocatedQuantity"]) for each in found}

    assert await ask("/receive", {"quantity": 3}) == {}
    assert await ask("/receive", {"quantity": 6, "location": "berlin"}) == {"default": (3, 0), "berlin": (6, 0)}
    order = (await api.place((product, 5)))["id"]
    await api.order(order, lambda found: found["allocationStatus"] == "ALLOCATED")
    transfer = {"transferId": "t-1", "source": "berlin", "target": "paris", "quantity": 2}
    assert await ask("/transfers", transfer) == {"default": (3, 3), "berlin": (4, 2), "paris": (0, 0)}
    assert (await ask("/transfers/t-1/receive"))["paris"] == (2, 0)
    await ask("/locations/berlin/close", {"reason": "stocktaking"})

    async def where() -> Any:
        return (await api("GET", f"/inventory/{product}/reservations"))[1]["data"][0].get("locations")

    moved = [{"location": "default", "held": 3, "shipped": 0}, {"location": "paris", "held": 2, "shipped": 0}]
    await eventually(where, lambda found: found == moved)
    _, answer, _ = await api("GET", f"/inventory/{product}")
    assert (answer["data"]["inTransitQuantity"], answer["data"]["transfers"]) == (0, [])
    status, answer, _ = await api("POST", f"/inventory/{product}/receive", {"quantity": 1, "location": "berlin"})
    assert (status, answer["error"]) == (422, "LOCATION_CLOSED")


async def test_an_order_ships_from_the_locations_that_have_its_units(api: Api, unique: Unique) -> None:
    product, here, there = unique("split"), unique("here"), unique("there")
    for location, units in ((here, 3), (there, 4)):
        body = {"quantity": units, "location": location}
        assert (await api("POST", f"/inventory/{product}/receive", body))[0] == 200
    plan = {"strategy": "priority", "locations": [there, here]}

    async def units() -> Any:
        answer = (await api("GET", f"/inventory/{product}"))[1]
        return answer.get("data", {}).get("availableQuantity")

    await eventually(units, lambda found: found == 7)
    asked = {
        "items": [{"productId": product, "quantity": 6}, {"productId": product, "quantity": 3}],
        "allocation": plan,
    }
    status, answer, _ = await api("POST", "/allocations/preview", asked)
    first, second = answer["data"]["lines"]
    assert (status, first["locations"]) == (
        200,
        [{"location": there, "quantity": 4}, {"location": here, "quantity": 2}],
    )
    assert (second["allocated"], second["missing"], answer["data"]["shipments"]) == (1, 2, 2)
    order = (await api.place((product, 6), allocation=plan))["id"]
    found = await api.order(order, lambda found: found["allocationStatus"] == "ALLOCATED")
    assert [(each["location"], each["allocated"]) for each in found["items"][0]["locations"]] == [(there, 4), (here, 2)]
    for location, units in ((here, 2), (there, 4)):
        _, queue, _ = await api("GET", f"/work-queue?location={location}")
        (line,) = [each for each in queue["data"][0]["lines"] if each["location"] == location]
        assert (queue["data"][0]["orderId"], line["quantity"]) == (order, units)
    status, answer, _ = await api("POST", f"/orders/{order}/shipments", {})
    assert (status, answer["error"], answer["details"]["locations"]) == (422, "SEVERAL_LOCATIONS", [there, here])
    for number, location in enumerate((here, there)):
        body = {"shipmentId": f"s-{number}", "location": location}
        assert (await api("POST", f"/orders/{order}/shipments", body))[0] == 201
    found = await api.order(order, lambda found: found["status"] == "SHIPPED")
    assert [each["location"] for each in found["shipments"]] == [here, there]

    async def left() -> Any:
        found = (await api("GET", f"/inventory/{product}"))[1]["data"]["locations"]
        return {each["location"]: (each["onHandQuantity"], each["allocatedQuantity"]) for each in found}

    await eventually(left, lambda found: found == {"default": (0, 0), here: (1, 0), there: (0, 0)})


async def test_the_same_put_again_changes_nothing_while_lines_wait(api: Api, unique: Unique) -> None:
    product = unique("waited-for")
    await api.stock(product, 0)
    order = (await api.place((product, 30)))["id"]
    await api.order(order, lambda found: found["allocationStatus"] == "BACKORDERED")
    answers = [await api("PUT", f"/inventory/{product}", {"quantity": 100}) for _ in range(3)]
    for status, answer, _ in answers:
        data = answer["data"]
        assert (status, data["onHandQuantity"], data["availableQuantity"]) == (200, 100, 70), data
    assert len({answer["data"]["version"] for _, answer, _ in answers}) == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/adjust", {"delta": -11}, 422, "INSUFFICIENT_STOCK"),
        ("/adjust", {"delta": 1, "expectedOnHand": 9}, 409, "STALE_QUANTITY"),
        ("/allocate", {"orderId": "o-1", "quantity": 11}, 422, "INSUFFICIENT_STOCK"),
        ("/receive", {"quantity": 0}, 400, "INVALID_QUANTITY"),
        ("/receive", {"quantity": 1.0}, 400, "INVALID_QUANTITY"),
        ("/receive", {"quantity": True}, 400, "INVALID_QUANTITY"),
        ("/receive", {"quantity": 10**13}, 400, "INVALID_QUANTITY"),
        ("/adjust", {"delta": "1"}, 400, "INVALID_QUANTITY"),
        ("/allocate", {"quantity": 1}, 400, "VALIDATION_FAILED"),
    ],
)
async def test_stock_rejects_impossible_commands(
    api: Api, unique: Unique, path: str, body: Any, status: int, code: str
) -> None:
    product = unique("p")
    await api.stock(product, 10)
    got, answer, _ = await api("POST", f"/inventory/{product}{path}", body)
    assert (got, answer["error"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "body"), [("/adjust", {"delta": 1}), ("/allocate", {"orderId": "o", "quantity": 1}), ("/discontinue", {})]
)
async def test_commands_to_an_unknown_product_are_404(api: Api, unique: Unique, path: str, body: Any) -> None:
    status, answer, _ = await api("POST", f"/inventory/{unique('nope')}{path}", body)
    assert (status, answer["error"]) == (404, "PRODUCT_NOT_FOUND")


async def test_a_discontinued_product_takes_no_reservations(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 10)
    assert (await api("POST", f"/inventory/{product}/discontinue"))[0] == 200
    status, answer, _ = await api("POST", f"/inventory/{product}/allocate", {"orderId": "o-1", "quantity": 1})
    assert (status, answer["error"]) == (422, "PRODUCT_DISCONTINUED")


@pytest.mark.parametrize("product", ["with space", "a/b", "ü", "%", "a?b#c", "x" * 128])
async def test_any_printable_id_can_be_in_a_path(api: Api, unique: Unique, product: str) -> None:
    from urllib.parse import quote

    from yarl import URL

    path = URL(f"{str(api.session._base_url).rstrip('/')}/inventory/{quote(product, safe='')}", encoded=True)
    async with api.session.put(path, json={"quantity": 5}) as response:
        assert response.status == 200, await response.text()
        assert (await response.json())["data"]["id"] == product


async def test_a_whole_order_gets_its_units_from_one_location(api: Api, unique: Unique) -> None:
    boots, hats, here, there = unique("boots"), unique("hats"), unique("here"), unique("there")
    for product, location in ((boots, here), (boots, there), (hats, there)):
        assert (await api("POST", f"/inventory/{product}/receive", {"quantity": 5, "location": location}))[0] == 200
    plan = {"strategy": "priority", "locations": [here, there], "oneLocation": True}

    async def previewed(plan: dict[str, Any]) -> Any:
        items = [{"productId": product, "quantity": 2} for product in (boots, hats)]
        _, answer, _ = await api("POST", "/allocations/preview", {"items": items, "allocation": plan})
        return [[part["location"] for part in line["locations"]] for line in answer["data"]["lines"]]

    await eventually(lambda: previewed(plan), lambda found: found == [[there], [there]])
    assert await previewed({**plan, "oneLocation": False}) == [[here], [there]]

    order = (await api.place((boots, 2), (hats, 2), allocation=plan))["id"]

    def places(found: Any) -> Any:
        return [[part["location"] for part in item.get("locations", ())] for item in found["items"]]

    await api.order(order, lambda found: places(found) == [[there], [there]])
    _, answer, _ = await api("GET", f"/orders/{order}/events")
    assert [each["type"] for each in answer["data"]].count("LocationProposed") == 1
    _, answer, _ = await api("GET", f"/orders/{order}/explain")
    assert "one location that had all units of the order" in answer["data"]["reasons"][0]["message"]
    assert (await api("POST", f"/orders/{order}/shipments", {}))[0] == 201
    found = await api.order(order, lambda found: found["status"] == "SHIPPED")
    assert [each["location"] for each in found["shipments"]] == [there]
