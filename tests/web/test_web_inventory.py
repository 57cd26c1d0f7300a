"""A product's stock over HTTP, and every no it can get."""

from collections.abc import Callable
from typing import Any

import pytest
from system import Api

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
