"""Refused messages over HTTP: the newest first, page by page, and the large ones by reference."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from kafka import produce
from system import Api, System, eventually

Unique = Callable[[str], str]
LARGE = 900_000  # bytes; a broker takes a little more by default


async def refused(api: Api, keys: list[str]) -> list[dict[str, Any]]:
    """Return the letters of `keys`, the newest first, once there is one of each."""
    path = "/letters?kind=invalid&limit=500"
    _, answer, _ = await eventually(
        lambda: api("GET", path), lambda found: {each.get("key") for each in found[1]["data"]} >= set(keys)
    )
    return [each for each in answer["data"] if each.get("key") in keys]


async def test_the_newest_come_first_across_partitions_and_pages(system: System, api: Api, unique: Unique) -> None:
    keys = [unique("letter") for _ in range(6)]
    for number, key in enumerate(keys):
        topic = "order-commands" if number % 2 else "inventory-commands"
        await asyncio.to_thread(produce, system.settings, topic, key, b"no JSON", 5 - number % 6)
        listed = await refused(api, keys[: number + 1])  # before the next, which another worker may refuse first
    assert [each["key"] for each in listed] == keys[::-1]
    paged, path = list[str](), "/letters?kind=invalid&limit=2"
    while len(paged) < len(keys):
        _, page, _ = await api("GET", path)
        paged += [each["key"] for each in page["data"] if each.get("key") in keys]
        path = f"/letters?kind=invalid&limit=2&cursor={page['nextCursor']}"
    assert paged == keys[::-1]
    for cursor in ("nonsense", "1.2", "1.2.3.4", "9" * 30 + ".1.2", "order/o"):
        status, answer, _ = await api("GET", "/letters", params={"kind": "invalid", "cursor": cursor})
        assert (status, list(answer["errors"])) == (400, ["cursor"])


async def test_large_values_are_listed_by_reference(system: System, api: Api, unique: Unique) -> None:
    keys = [unique("large") for _ in range(5)]
    for key in keys:
        value = json.dumps({"type": "Eat", "data": key * (LARGE // len(key))}).encode()
        headers = [("content-type", b"application/json"), ("raw", b"\xff")]
        await asyncio.to_thread(produce, system.settings, "order-commands", key, value, -1, headers)
    listed = await refused(api, keys)
    assert len(json.dumps(listed)) < 20_000
    for letter in listed:
        assert "value" not in letter
        assert letter["valueBytes"] > LARGE - 1_000
        assert letter["valuePreview"].startswith('{"type": "Eat", "data": "large-')
        assert letter["commandType"] == "Eat"
    of_key = {each["key"]: each for each in listed}  # refused together, they may be in any order
    status, answer, _ = await api("GET", of_key[keys[-1]]["href"].removeprefix("/api/v1"))
    assert (status, answer["data"]["id"], answer["data"]["key"]) == (200, of_key[keys[-1]]["id"], keys[-1])
    assert json.loads(answer["data"]["value"])["data"].startswith(keys[-1])
    assert answer["data"]["headers"][-1] == {"name": "raw", "valueBase64": "/w=="}
    said = (await asyncio.to_thread(system.run, "letters", "show", keys[0])).stdout
    assert len(said) < 20_000
    assert "use --json for all of them" in said
    whole = (await asyncio.to_thread(system.run, "letters", "show", keys[0], "--json")).stdout
    assert len(json.loads(whole)["value"]) == of_key[keys[0]]["valueBytes"]


async def test_an_unknown_letter_is_404(api: Api) -> None:
    for letter_id in ("0-999999999", "99-0", "0", "nonsense", "0--1"):
        status, answer, _ = await api("GET", f"/letters/{letter_id}")
        assert (status, answer["error"]) == (404, "LETTER_NOT_FOUND")


async def test_a_letter_without_a_type_is_listed_without_one(system: System, api: Api, unique: Unique) -> None:
    keys = [unique("typeless") for _ in range(3)]
    for key, value in zip(keys, (b"None", b'{"type": ["Hold"]}', b""), strict=True):
        await asyncio.to_thread(produce, system.settings, "order-commands", key, value)
    assert not [each for each in await refused(api, keys) if "commandType" in each]
