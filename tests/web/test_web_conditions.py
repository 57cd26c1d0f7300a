"""If-Match, If-None-Match, Prefer, Consistency-Token, correlation."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from system import Api, eventually

from web.consistency import token

Unique = Callable[[str], str]
Body = Callable[..., dict[str, Any]]


async def test_a_stale_version_is_412(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 5)
    fresh = await api("PUT", f"/inventory/{product}", {"quantity": 6}, headers={"If-Match": '"1"'})
    stale = await api("PUT", f"/inventory/{product}", {"quantity": 7}, headers={"If-Match": '"1"'})
    assert (fresh[0], stale[0], stale[1]["error"]) == (200, 412, "STALE_VERSION")
    assert stale[1]["details"]["version"] == 2


async def test_what_has_not_changed_is_304(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 5)
    headers = {"Consistency-Token": token("inventory", product, 1), "If-None-Match": '"1"'}
    status, body, found = await api("GET", f"/inventory/{product}", headers=headers)
    assert (status, body, found["ETag"]) == (304, None, '"1"')
    assert (await api("GET", f"/inventory/{product}", headers={"If-None-Match": '"0"'}))[0] == 200


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0"])
async def test_who_does_not_wait_gets_202_and_where_the_outcome_will_be(
    api: Api, unique: Unique, order: Body, prefer: str
) -> None:
    status, answer, headers = await api("POST", "/orders", order(unique("p")), headers={"Prefer": prefer})
    assert (status, answer["data"]["status"]) == (202, "pending")
    assert headers["Location"] == f"/api/v1/commands/{answer['data']['commandId']}"
    assert "Consistency-Token" not in headers

    async def ask() -> Any:
        status, answer, _ = await api("GET", headers["Location"].removeprefix("/api/v1"))
        assert status == 200
        return answer["data"]

    outcome = await eventually(ask, lambda outcome: outcome["status"] != "pending")
    assert (outcome["status"], outcome["aggregateId"]) == ("accepted", answer["data"]["id"])


async def test_what_was_written_is_read(api: Api, unique: Unique, order: Body) -> None:
    customer = unique("customer")
    for number in range(1, 11):
        _, _, headers = await api("POST", "/orders", order(unique("p"), customerId=customer))
        marks = {"Consistency-Token": headers["Consistency-Token"]}
        for path in (f"/orders?customerId={customer}", f"/customers/{customer}/orders"):
            status, listed, _ = await api("GET", path, headers=marks)
            assert (status, len(listed["data"])) == (200, number)


async def test_a_token_from_the_future_is_504_or_stale(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 5)
    now = {"Consistency-Token": token("inventory", product, 1)}
    assert (await api("GET", f"/inventory/{product}", headers=now))[0] == 200
    future = {"Consistency-Token": token("inventory", product, 99)}
    status, answer, _ = await api("GET", f"/inventory/{product}", headers=future)
    assert (status, answer["error"]) == (504, "CONSISTENCY_TIMEOUT")
    status, answer, headers = await api("GET", f"/inventory/{product}?on_timeout=stale", headers=future)
    assert (status, headers["Consistency"]) == (200, "stale")


@pytest.mark.parametrize("header", ["Correlation-Id", "X-Correlation-Id"])
async def test_a_correlation_id_goes_along(api: Api, unique: Unique, order: Body, header: str) -> None:
    mine = uuid4().hex
    _, answer, headers = await api("POST", "/orders", order(unique("p")), headers={header: mine})
    assert headers["Correlation-Id"] == mine
    marks = {"Consistency-Token": headers["Consistency-Token"]}
    _, events, _ = await api("GET", f"/orders/{answer['data']['id']}/events", headers=marks)
    assert events["data"][0]["correlationId"] == mine


async def test_without_one_it_is_the_commands_id(api: Api, unique: Unique, order: Body) -> None:
    _, answer, headers = await api("POST", "/orders", order(unique("p")))
    assert headers["Correlation-Id"] == answer["data"]["commandId"]
