"""Commands that share an id: each has an outcome of its own, and every one of them can be found."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from kafka import await_message, produce
from system import Api, System, eventually

Unique = Callable[[str], str]


def receive(product: str, command_id: str, quantity: int = 5, **more: Any) -> dict[str, Any]:
    return {
        "type": "ReceiveStock",
        "id": command_id,
        "data": {"productId": product, "quantity": quantity},
        "subject": product,
    } | more


async def found(api: Api, path: str, count: int) -> Any:
    """Return the answer once `count` outcomes of the id are projected."""

    def all_of_it(answer: Any) -> bool:
        status, body, _ = answer
        data = body.get("data") or body["details"]
        return status in (200, 409) and len(data.get("outcomes") or [data, *data.get("others", [])]) == count

    status, body, _ = await eventually(lambda: api("GET", path), all_of_it)
    return status, body


async def send(system: System, message: dict[str, Any]) -> None:
    topic = system.settings.named("inventory-commands")
    await asyncio.to_thread(produce, system.settings, topic, message["data"]["productId"], message)


async def test_an_id_used_on_two_products_has_two_outcomes_and_both_are_shown(api: Api, unique: Unique) -> None:
    boots, hats, command = unique("boots"), unique("hats"), unique("a/b")
    status, answer, _ = await api("POST", "/commands", [receive(boots, command, 1), receive(hats, command, 2)])
    assert status == 202
    locations = [each["location"].removeprefix("/api/v1") for each in answer["data"]]
    assert len(set(locations)) == 2
    status, body = await found(api, f"/commands/{command.replace('/', '%2F')}", 2)
    assert (status, body["error"]) == (409, "AMBIGUOUS_COMMAND_ID")
    assert {each["aggregateId"] for each in body["details"]["outcomes"]} == {boots, hats}
    for location, product, quantity in zip(locations, (boots, hats), (1, 2), strict=True):
        status, body, _ = await api("GET", location)
        assert (status, body["data"]["aggregateId"]) == (200, product)
        assert body["data"]["result"]["availableQuantity"] == quantity
        assert "others" not in body["data"]


async def test_the_same_id_of_two_sources_is_two_commands_and_the_apis_own_comes_first(
    system: System, api: Api, unique: Unique
) -> None:
    product, command = unique("p"), unique("1")
    await send(system, receive(product, command, source="shop"))
    await send(system, receive(product, command, source="warehouse"))
    status, body = await found(api, f"/commands/{command}", 2)
    assert (status, body["error"]) == (409, "AMBIGUOUS_COMMAND_ID")
    assert (await api("GET", f"/commands/{command}?source=shop"))[1]["data"]["version"] == 1
    await api("POST", "/commands", receive(product, command))
    status, body = await found(api, f"/commands/{command}", 3)
    assert (status, body["data"]["source"], body["data"]["version"]) == (200, "web", 3)
    assert {each["source"] for each in body["data"]["others"]} == {"shop", "warehouse"}
    _, stock, _ = await eventually(
        lambda: api("GET", f"/inventory/{product}"), lambda answer: answer[1].get("data", {}).get("version") == 3
    )
    assert stock["data"]["availableQuantity"] == 15


async def test_an_id_used_for_another_command_is_refused_and_both_answers_are_found(
    system: System, api: Api, unique: Unique
) -> None:
    product, command = unique("p"), unique("c")
    for message in (receive(product, command, 5), receive(product, command, 6)):
        await send(system, message)
    status, body = await found(api, f"/commands/{command}", 2)
    (refused,) = body["data"].pop("others")
    assert (status, body["data"]["status"], body["data"]["version"]) == (200, "accepted", 1)
    assert (refused["status"], refused["code"]) == ("rejected", "COMMAND_ID_REUSED")
    listed = await asyncio.to_thread(system.run, "outcomes", command)
    assert ["accepted" in line for line in listed.stdout.splitlines()] == [True, False]
    sent = "\n".join(orjson.dumps(receive(product, command, n, source="kafka")).decode() for n in (5, 7))
    said = await asyncio.to_thread(system.run, "produce", "--wait", "--json", stdin=sent, check=False)
    again, other = map(orjson.loads, said.stdout.splitlines())
    assert (said.returncode, again["version"], other["code"]) == (1, 1, "COMMAND_ID_REUSED")


async def test_a_request_ignores_the_outcome_of_another_source(system: System, api: Api, unique: Unique) -> None:
    """A waiting request sees the outcomes of all sources, and another source may have used its id."""
    product, other, key = unique("p"), unique("other"), unique("key")
    outcomes = system.settings.named("command-outcomes")
    asked = asyncio.create_task(
        api("POST", f"/inventory/{product}/receive", {"quantity": 5}, headers={"Idempotency-Key": key})
    )
    status, answer, _ = await asked
    assert status == 200
    command = answer["data"]["commandId"]
    await send(system, receive(other, command, 9, source="shop"))
    await asyncio.to_thread(
        await_message, system.settings, outcomes,
        lambda m: m["data"]["commandId"] == command and m["data"]["commandSource"] == "shop",
    )  # fmt: skip
    status, body = await found(api, f"/commands/{command}", 2)
    assert (status, body["data"]["aggregateId"], body["data"]["source"]) == (200, product, "web")
