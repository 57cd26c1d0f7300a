"""HTTP requests repeated under their Idempotency-Key while processes die: one order, and one answer in the end."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kafka import messages
from system import ADDRESS, Api, System, eventually, wait_until


async def ask_until_answered(api: Api, key: str, body: Any, prefer: str = "") -> tuple[int, Any, Any]:
    """Repeat a request until it has a final answer, and return that. Only the first attempt sends `Prefer`."""
    first = {"Prefer": prefer} if prefer else {}

    async def ask() -> tuple[int, Any, Any]:
        try:
            headers = {"Idempotency-Key": key, **first}
            first.clear()
            return await api("POST", "/orders", body, headers=headers)
        except aiohttp.ClientError:  # no answer
            return 0, {}, {}

    def final(answer: tuple[int, Any, Any]) -> bool:
        return answer[0] == 201 or 400 <= answer[0] < 409 or 409 < answer[0] < 500

    return await eventually(ask, final, pause=0.5)


@pytest.mark.parametrize(
    ("process", "point", "prefer"),
    [
        ("api-0", "key-claimed", ""),  # between recording the key and producing
        pytest.param("api-0", "sent", "", marks=pytest.mark.slow),  # between producing and the outcome
        ("api-0", "answer-stored", "respond-async"),  # at a 202: the key records that the command is sent
        pytest.param("api-0", "sent", "respond-async", marks=pytest.mark.slow),  # and before the key records it
        pytest.param("orders-0", "commit-asked", "", marks=pytest.mark.slow),
        pytest.param("orders-0", "committed", "", marks=pytest.mark.slow),
    ],
)
async def test_a_request_repeated_through_a_crash_is_done_once(
    system: System, api: Api, faults: Path, process: str, point: str, prefer: str
) -> None:
    customer = f"{process}-{point}{prefer}"
    items = [{"productId": "retried-boots", "quantity": 1, "price": "10.00"}]
    body = {"customerId": customer, "items": items, "shippingAddress": ADDRESS, "billingAddress": ADDRESS}
    pid = await asyncio.to_thread(system.pid, process)
    (faults / process).write_text(f"kill:{point}")
    status, answer, _ = await ask_until_answered(api, customer, body, prefer)
    assert status == 201, answer
    assert not (faults / process).exists(), "no process died"
    await eventually(lambda: asyncio.to_thread(system.pid, process), lambda now: now not in (None, pid))
    order_id, command_id = answer["data"]["id"], answer["data"]["commandId"]

    again = await ask_until_answered(api, customer, body)
    assert (again[0], again[1], again[2]["Idempotency-Replayed"]) == (status, answer, "true")
    await eventually(
        lambda: api("GET", f"/commands/{command_id}"),
        lambda found: found[0] == 200 and found[1]["data"]["status"] == "accepted",
    )
    await api.order(order_id)
    placed = messages(system.settings, "order-events", lambda event: event["data"].get("customerId") == customer)
    assert [(event["subject"], event["causationid"]) for event in placed] == [(order_id, command_id)]
    await asyncio.to_thread(wait_until, lambda: system.status()["ready"], "all to be ready again")
