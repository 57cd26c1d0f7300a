"""Which events a command's answer names, and which commands are the same one; without a broker."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from test_agents_deciding import BOOTS, Desk, messages, receive

from agents.inventory import InventoryKind
from agents.orders import OrderKind
from streams.messages import event_id
from streams.partitions import partition_of
from tables.store import Entries

WRITTEN = json.loads((Path(__file__).parent / "written/0.1-one-product-one-order.json").read_text())
KINDS = {"inventory": InventoryKind, "order": OrderKind}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture(params=["inventory", "order"])
def older(request: pytest.FixtureRequest) -> tuple[Desk, Any]:
    """Return a desk whose table was written by code that made event ids of commands, and all it wrote then."""
    written = WRITTEN[request.param]
    desk = Desk(KINDS[request.param]())
    entries = {key.encode(): value.encode() for key, value in written["changelog"].items()}
    desk.table.data.replace({1: Entries(desk.table.codec, entries)})
    desk.offsets[1] = 10
    return desk, written


def again(desk: Desk, command_id: str) -> dict[str, Any]:
    """Send a command of those days once more, as its producer would; return its outcome now."""
    name, data = {
        "c-2": ("ReceiveStock", {"quantity": 5}),
        "c-3": ("ReserveStock", {"orderId": "o-1", "lineId": "manual", "quantity": 20}),
        "c-4": ("AdjustStock", {"delta": -3, "reason": "broken", "expectedOnHand": 99}),
        "p-1": ("PlaceOrder", written_order()),
        "p-2": ("Hold", {"reason": "check"}),
        "p-3": ("CreateShipment", {}),
    }[command_id]
    return desk.tell(name, data, id=command_id)


def written_order() -> dict[str, Any]:
    event = json.loads(WRITTEN["order"]["events"][0])["data"]
    names = ("customerId", "shippingAddress", "billingAddress")
    line = {"productId": "boots", "quantity": 2, "price": {"amount": 1000, "currency": "EUR"}}
    return {**{name: event[name] for name in names}, "lines": [line]}


# --- event ids


def test_ids_that_contain_slashes_do_not_collide() -> None:
    """`a` + `b/c` and `a/b` + `c`; and an id that looks like another one's kind and sequence."""
    ids = [
        event_id(aggregate, key, sequence)
        for aggregate in ("order", "inventory")
        for key in ("a", "a/b", "1/a", "order/1/a", "a/1", "/", "//", "1", "11", "\u20ac")
        for sequence in (1, 11, 111)
    ]
    assert len(set(ids)) == len(ids)
    assert {UUID(each).version for each in ids} == {5}
    assert event_id("order", "a", 1) == "031cfb02-f22b-514f-b294-24cf81b7cd1f"  # for ever: they are in people's logs


def test_commands_with_slashes_in_their_ids_cause_events_with_ids_of_their_own() -> None:
    desk = Desk(OrderKind())
    events = []
    for key, command in [("a", "b/c"), ("a/b", "c")]:
        place = {"type": "PlaceOrder", "id": command, "data": written_order()}
        decided = desk.decide(desk.record(place, partition_of(key.encode(), 4), key=key))
        events += messages(decided, "order-events")
    first, second = events
    assert first["id"] != second["id"]
    assert [first["subject"], second["subject"]] == ["a", "a/b"]


def test_a_command_id_that_was_forgotten_causes_an_event_with_an_id_of_its_own(desk: Desk) -> None:
    events = []
    for command in ["again", *(f"c-{number}" for number in range(5)), "again"]:
        events += messages(desk.decide(desk.record(receive(1, id=command))), "inventory-events")
    assert [event["sequence"] for event in events] == [1, 2, 3, 4, 5, 6, 7]
    assert len({event["id"] for event in events}) == 7
    assert events[0]["causationid"] == events[-1]["causationid"] == "again"


def test_an_answer_of_older_code_names_the_ids_that_are_in_the_log(older: tuple[Desk, Any]) -> None:
    desk, written = older
    logged, named = [json.loads(event)["id"] for event in written["events"]], []
    for first in map(json.loads, written["outcomes"][-3:]):  # as many as are remembered here
        now = again(desk, first["data"]["commandId"])
        same = ("commandId", "commandType", "aggregate", "aggregateId", "status", "version", "events")
        assert {name: now["data"].get(name) for name in same} == {name: first["data"].get(name) for name in same}
        named += [event["id"] for event in now["data"]["events"]]
    assert named == logged[-len(named) :] != []


def test_new_answers_beside_older_ones_name_their_own_ids(older: tuple[Desk, Any]) -> None:
    desk, written = older
    command = {"type": "ReceiveStock", "data": {"quantity": 1}} if "c-2" in str(written) else {"type": "Release"}
    both = [desk.decide(desk.record({**command, "id": "new"})) for _ in range(2)]
    (event,) = messages(both[0], f"{desk.kind.events.name}")
    first, second = (messages(each, "command-outcomes")[0] for each in both)
    assert first == second
    assert first["data"]["events"] == [{"id": event["id"], "type": event["type"], "sequence": 3}]
    assert event["id"] == event_id(desk.kind.aggregate, BOOTS, 3)
