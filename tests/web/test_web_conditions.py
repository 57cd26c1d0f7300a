"""If-Match, If-None-Match, Prefer, Consistency-Token, correlation."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from system import Api, eventually

from web.queries.consistency import token

Unique = Callable[[str], str]
Body = Callable[..., dict[str, Any]]


async def test_a_stale_version_is_412(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 5)
    fresh = await api("PUT", f"/inventory/{product}", {"quantity": 6}, headers={"If-Match": '"1"'})
    stale = await api("PUT", f"/inventory/{product}", {"quantity": 7}, headers={"If-Match": '"1"'})
    assert (fresh[0], stale[0], stale[1]["error"]) == (200, 412, "STALE_VERSION")
    assert stale[1]["details"]["version"] == 2


async def test_an_unchanged_document_is_304(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 5)
    headers = {"Consistency-Token": token("inventory", product, 1), "If-None-Match": '"1"'}
    status, body, found = await api("GET", f"/inventory/{product}", headers=headers)
    assert (status, body, found["ETag"]) == (304, None, '"1"')
    assert (await api("GET", f"/inventory/{product}", headers={"If-None-Match": '"0"'}))[0] == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ('W/"1"', 304),
        ('"0", "1"', 304),
        ('"abc", W/"1"', 304),
        ("*", 304),
        ("1", 304),
        ('"2", "3"', 200),
        ('"abc"', 200),
    ],
)
async def test_any_tag_of_a_list_may_match(api: Api, unique: Unique, sent: str, status: int) -> None:
    product = unique("p")
    await api.stock(product, 5)
    headers = {"Consistency-Token": token("inventory", product, 1), "If-None-Match": sent}
    assert (await api("GET", f"/inventory/{product}", headers=headers))[0] == status


async def test_reading_with_if_match_is_412_at_another_version(api: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 5)
    now = {"Consistency-Token": token("inventory", product, 1)}
    for sent, status in (('"1"', 200), ('"7", "1"', 200), ("*", 200), ('"2"', 412), ('W/"1"', 412), ("x", 400)):
        found = await api("GET", f"/inventory/{product}", headers={**now, "If-Match": sent})
        assert found[0] == status, sent
    assert (await api("GET", f"/inventory/{product}?version=1", headers={"If-Match": '"1"'}))[0] == 200


async def test_a_command_may_allow_several_versions(api: Api, unique: Unique) -> None:
    path = f"/inventory/{unique('p')}"
    await api("PUT", path, {"quantity": 5})
    fits = await api("POST", f"{path}/receive", {"quantity": 1}, headers={"If-Match": '"1", "3"'})
    stale = await api("POST", f"{path}/receive", {"quantity": 1}, headers={"If-Match": '"1", "3"'})
    weak = await api("POST", f"{path}/receive", {"quantity": 1}, headers={"If-Match": 'W/"2"'})
    assert (fits[0], stale[0], weak[0]) == (200, 412, 412)
    assert {"expected": [1, 3], "version": 2}.items() <= stale[1]["details"].items()
    assert weak[1]["error"] == "STALE_VERSION"


async def test_a_star_requires_that_the_order_exists(api: Api, unique: Unique) -> None:
    path, exists = f"/inventory/{unique('p')}", {"If-Match": "*"}
    absent = await api("PUT", path, {"quantity": 5}, headers=exists)
    assert (absent[0], absent[1]["error"], absent[1]["message"]) == (412, "STALE_VERSION", "it does not exist")
    assert (await api("PUT", path, {"quantity": 5}))[0] == 200
    assert (await api("PUT", path, {"quantity": 6}, headers=exists))[0] == 200


async def test_create_only_is_412_when_it_exists(api: Api, unique: Unique, order: Body) -> None:
    create, path = {"If-None-Match": "*"}, f"/inventory/{unique('p')}"
    made, again = [await api("PUT", path, {"quantity": 5}, headers=create) for _ in range(2)]
    assert (made[0], again[0], again[1]["error"], again[1]["details"]["version"]) == (200, 412, "STALE_VERSION", 1)
    body = order(unique("p"), orderId=unique("o"))
    placed, twice = [await api("POST", "/orders", body, headers=create) for _ in range(2)]
    assert (placed[0], twice[0]) == (201, 412)
    assert (await api("POST", "/orders", body))[0] == 201  # the same content without the condition: as it was answered


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0"])
async def test_without_waiting_the_answer_is_202_with_the_path_of_the_outcome(
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


async def test_a_read_with_a_token_sees_the_write(api: Api, unique: Unique, order: Body) -> None:
    customer = unique("customer")
    for number in range(1, 11):
        _, _, headers = await api("POST", "/orders", order(unique("p"), customerId=customer))
        marks = {"Consistency-Token": headers["Consistency-Token"]}
        for path in (f"/orders?customerId={customer}", f"/customers/{customer}/orders"):
            status, listed, _ = await api("GET", path, headers=marks)
            assert (status, len(listed["data"])) == (200, number)


async def test_a_token_from_the_future_is_504_or_stale(api: Api, impatient: Api, unique: Unique) -> None:
    product = unique("p")
    await api.stock(product, 5)
    now = {"Consistency-Token": token("inventory", product, 1)}
    assert (await api("GET", f"/inventory/{product}", headers=now))[0] == 200
    future = {"Consistency-Token": token("inventory", product, 99)}
    status, answer, _ = await impatient("GET", f"/inventory/{product}", headers=future)
    assert (status, answer["error"]) == (504, "CONSISTENCY_TIMEOUT")
    status, answer, headers = await impatient("GET", f"/inventory/{product}?on_timeout=stale", headers=future)
    assert (status, headers["Consistency"]) == (200, "stale")


@pytest.mark.parametrize("header", ["Correlation-Id", "X-Correlation-Id"])
async def test_a_correlation_id_is_passed_along(api: Api, unique: Unique, order: Body, header: str) -> None:
    mine = uuid4().hex
    _, answer, headers = await api("POST", "/orders", order(unique("p")), headers={header: mine})
    assert headers["Correlation-Id"] == mine
    marks = {"Consistency-Token": headers["Consistency-Token"]}
    _, events, _ = await api("GET", f"/orders/{answer['data']['id']}/events", headers=marks)
    assert events["data"][0]["correlationId"] == mine


async def test_the_default_correlation_id_is_the_commands_id(api: Api, unique: Unique, order: Body) -> None:
    _, answer, headers = await api("POST", "/orders", order(unique("p")))
    assert headers["Correlation-Id"] == answer["data"]["commandId"]
