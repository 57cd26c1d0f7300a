"""Lists: filtered, sorted, paged without a gap or a repeat."""

from collections.abc import Callable
from typing import Any

import pytest
from system import Api

from web.queries.consistency import token

Unique = Callable[[str], str]


async def placed(api: Api, unique: Unique, customer: str, count: int) -> list[str]:
    """Place orders, return their ids once they can be read."""
    ids = [(await api.place((unique("p"), 1), customerId=customer))["id"] for _ in range(count)]
    for order in ids:
        await api("GET", f"/orders/{order}", headers={"Consistency-Token": token("order", order, 1)})
    return ids


async def pages(api: Api, path: str) -> list[Any]:
    found, cursor = [], ""
    while cursor is not None:
        status, answer, _ = await api("GET", f"{path}&cursor={cursor}" if cursor else path)
        assert status == 200, answer
        found.append(answer["data"])
        cursor = answer["nextCursor"]
    return found


@pytest.mark.parametrize(("sort", "backwards"), [("createdAt", False), ("-createdAt", True)])
async def test_pages_follow_each_other(api: Api, unique: Unique, sort: str, backwards: bool) -> None:
    customer = unique("customer")
    ids = await placed(api, unique, customer, 7)
    found = await pages(api, f"/orders?customerId={customer}&limit=3&sort={sort}")
    assert [len(page) for page in found] == [3, 3, 1]
    assert [order["id"] for page in found for order in page] == (ids[::-1] if backwards else ids)


async def test_lists_are_filtered(api: Api, unique: Unique) -> None:
    customer = unique("customer")
    kept, cancelled = await placed(api, unique, customer, 2)
    _, _, headers = await api("DELETE", f"/orders/{cancelled}")
    marks = {"Consistency-Token": headers["Consistency-Token"]}
    path = f"/orders?customerId={customer}"
    _, found, _ = await api("GET", f"{path}&status=CANCELLED", headers=marks)
    assert cancelled in [order["id"] for order in found["data"]]
    moment = (await api("GET", f"/orders/{kept}"))[1]["data"]["createdAt"]
    _, found, _ = await api("GET", f"{path}&from={moment}")
    assert {order["id"] for order in found["data"]} == {kept, cancelled}
    _, found, _ = await api("GET", f"{path}&to={moment}")
    assert found == {"success": True, "data": [], "nextCursor": None}


@pytest.mark.parametrize("path", ["/inventory", "/work-queue", "/orders?allocationStatus=ALLOCATED"])
async def test_the_other_lists_are_served(api: Api, unique: Unique, path: str) -> None:
    product = unique("p")
    await api.stock(product, 5)
    order = (await api.place((product, 1)))["id"]
    await api.order(order, lambda order: order["allocationStatus"] == "ALLOCATED")
    status, answer, _ = await api("GET", path)
    assert (status, answer["success"]) == (200, True)
    assert answer["data"]


async def test_a_list_without_matches_is_empty(api: Api, unique: Unique) -> None:
    for path in (
        f"/customers/{unique('c')}/orders",
        f"/inventory/{unique('p')}/ledger",
        f"/orders?customerId={unique('c')}",
    ):
        status, answer, _ = await api("GET", path)
        assert (status, answer) == (200, {"success": True, "data": [], "nextCursor": None})
