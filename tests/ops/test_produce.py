"""Commands sent by hand have the same effect as commands over HTTP, and invalid ones are refused."""

import asyncio
import json
import os
from typing import Any

import pytest
from kafka import records as every_message
from system import ADDRESS, Api, System, eventually

from ops.kafka import records, sending
from streams.topics import DEAD_LETTERS, INVENTORY_COMMANDS, ORDER_COMMANDS

LINE = {"productId": "produced", "quantity": 2, "price": {"amount": 1000, "currency": "EUR"}}
ORDER = {"customerId": "c-1", "lines": [LINE], "shippingAddress": ADDRESS, "billingAddress": ADDRESS}
SAME = ("items", "status", "allocationStatus", "totalCost", "shippingAddress", "policy", "version")


async def produce(system: System, *arguments: str, stdin: str | None = None) -> Any:
    return await asyncio.to_thread(system.run, "produce", *arguments, stdin=stdin, check=False)


async def test_a_produced_order_equals_one_placed_over_http(system: System, api: Api) -> None:
    await api.stock("produced", 100)
    over_http = await api.place(("produced", 2))
    said = await produce(system, "PlaceOrder", "--key", "by-hand", "--data", json.dumps(ORDER), "--wait")
    assert said.returncode == 0, said.stderr
    assert "accepted  PlaceOrder" in said.stdout
    orders = [
        await api.order(order_id, lambda order: order["allocationStatus"] == "ALLOCATED")
        for order_id in (over_http["id"], "by-hand")
    ]
    one, other = ({name: order[name] for name in SAME} for order in orders)
    other["items"][0]["price"] = one["items"][0]["price"]
    assert one == other


async def test_envelopes_from_stdin_go_to_their_topics_and_their_ids_are_printed(system: System, api: Api) -> None:
    lines = [
        {"type": "SetStock", "subject": "piped", "data": {"quantity": 3}, "id": "piped-1"},
        {"type": "CancelOrder", "subject": "nobody", "id": "piped-2", "data": {}},
    ]
    said = await produce(system, stdin="\n".join(map(json.dumps, lines)))
    assert (said.returncode, said.stdout.split()) == (0, ["piped-1", "piped-2"])
    found = await eventually(lambda: api("GET", "/commands/piped-2"), lambda answer: answer[0] == 200)
    assert found[1]["data"]["code"] == "ORDER_NOT_FOUND"
    await eventually(lambda: api("GET", "/inventory/piped"), lambda answer: answer[0] == 200)


async def test_waiting_for_a_rejection_exits_1(system: System) -> None:
    said = await produce(system, "CancelOrder", "--key", "nobody", "--wait", "--json")
    outcome = json.loads(said.stdout)
    assert (said.returncode, outcome["status"], outcome["code"]) == (1, "rejected", "ORDER_NOT_FOUND")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("SetStock", "--key", "unsent", "--data", '{"quantity": -1}'), "INVALID_QUANTITY"),
        (("SetStock", "--key", "unsent", "--data", "no json"), "data must be a JSON object"),
        (("SetStock", "--data", '{"quantity": 7700700}'), "MISSING_KEY"),
        (("SetOrder", "--key", "unsent"), "UNKNOWN_TYPE"),
        (
            ("CancelOrder", "--key", "unsent", "--data", '{"orderId": "o2"}'),
            "the Kafka key is 'unsent' and data.orderId is 'o2'",
        ),
    ],
)
async def test_an_invalid_command_is_refused_and_not_sent(system: System, arguments: Any, complaint: str) -> None:
    said = await produce(system, *arguments)
    assert said.returncode == os.EX_DATAERR
    assert complaint in said.stderr
    for topic in (ORDER_COMMANDS, INVENTORY_COMMANDS):
        sent = await asyncio.to_thread(every_message, system.settings, system.settings.named(topic.name))
        assert not [each for each in sent if each.key() == b"unsent" or b"7700700" in (each.value() or b"")]


async def test_one_invalid_line_prevents_all_from_being_sent(system: System) -> None:
    said = await produce(system, "-", stdin='{"type":"Hold","subject":"o","data":{}}\n\n{"type":')
    assert said.returncode == os.EX_DATAERR
    assert said.stderr.startswith("line 2: INVALID_MESSAGE")


async def test_a_forced_invalid_command_becomes_a_dead_letter_and_a_rejected_outcome(system: System) -> None:
    ends = records.ends(system.settings, DEAD_LETTERS.name)
    said = await produce(system, "-", "--key", "forced", "--force", "--wait", "--json", stdin="not JSON at all")
    assert said.returncode == 1
    assert json.loads(said.stdout)["code"] == "INVALID_MESSAGE"
    now = records.ends(system.settings, DEAD_LETTERS.name)
    with records.Log(system.settings, DEAD_LETTERS.name, ends) as log:
        letters = [json.loads(record.value) for batch in log.upto(now) for record in batch]
    assert [letter["data"]["value"] for letter in letters if letter["data"]["key"] == "forced"] == ["not JSON at all"]


async def test_outcomes_shows_the_newest_and_one_by_its_id(system: System) -> None:
    ids = [f"shown-{number}" for number in range(3)]
    lines = "\n".join(json.dumps({"type": "Hold", "subject": "nobody", "id": each, "data": {}}) for each in ids)
    await asyncio.to_thread(system.quiet)  # commands of earlier tests have outcomes, too
    await produce(system, "--wait", stdin=lines)
    newest = (await asyncio.to_thread(system.run, "outcomes", "--last", "3", "--json")).stdout.splitlines()
    assert sorted(json.loads(line)["commandId"] for line in newest) == ids
    shown = (await asyncio.to_thread(system.run, "outcomes", "shown-1")).stdout
    assert "rejected  Hold" in shown
    assert "ORDER_NOT_FOUND" in shown
    missing = await asyncio.to_thread(system.run, "outcomes", "never-sent", check=False)
    assert missing.returncode == os.EX_TEMPFAIL


def test_a_new_order_needs_no_key_and_keeps_the_fields_it_has() -> None:
    placed = sending.parcel(sending.envelope("PlaceOrder", json.dumps(ORDER)), None, None)
    assert placed.refused is None
    assert placed.key
    named = sending.parcel(sending.envelope("PlaceOrder", json.dumps(ORDER | {"orderId": "mine"})), None, None)
    assert (named.refused, named.key) == (None, b"mine")
    given = {"type": "Hold", "id": "mine", "subject": "o", "correlationid": "flow", "time": "2026-01-01", "data": {}}
    kept = json.loads(sending.parcel(json.dumps(given).encode(), None, None).value)
    assert (kept["id"], kept["correlationid"], kept["time"]) == ("mine", "flow", "2026-01-01T00:00:00.000Z")
