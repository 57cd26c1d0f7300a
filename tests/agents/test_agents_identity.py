"""Which events a command's answer names, and which commands are the same one; without a broker."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from test_agents_deciding import BOOTS, Desk, messages, receive

from agents.inventory import PRODUCT
from agents.orders import ORDER
from streams.kafka.partitions import partition_of
from streams.keys import segment
from streams.messages.envelope import event_id
from tables.rows import MemoryRows
from tables.store import Entries

WRITTEN = json.loads((Path(__file__).parent / "written/0.1-one-product-one-order.json").read_text())
KINDS = {"inventory": PRODUCT, "order": ORDER}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture(params=["inventory", "order"])
def older(request: pytest.FixtureRequest) -> tuple[Desk, Any]:
    """Return a desk whose table was written by code that derived event ids from commands, and everything it wrote."""
    written = WRITTEN[request.param]
    desk = Desk(KINDS[request.param])
    entries = {key.encode(): value.encode() for key, value in written["changelog"].items()}
    desk.table.data.replace({1: Entries(desk.table.codec, MemoryRows(entries))})
    desk.offsets[1] = 10
    return desk, written


def again(desk: Desk, command_id: str) -> dict[str, Any]:
    """Send an old command again, as its producer would; return its outcome now."""
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
    assert event_id("order", "a", 1) == "031cfb02-f22b-514f-b294-24cf81b7cd1f"  # permanent: they are in people's logs


def test_commands_with_slashes_in_their_ids_cause_events_with_ids_of_their_own() -> None:
    desk = Desk(ORDER)
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


def test_an_answer_of_older_code_names_the_ids_in_the_log(older: tuple[Desk, Any]) -> None:
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
    (event,) = messages(both[0], desk.kind.topics.events.name)
    first, second = (messages(each, "command-outcomes")[0] for each in both)
    assert first == second
    assert first["data"]["events"] == [{"id": event["id"], "type": event["type"], "sequence": 3}]
    assert event["id"] == event_id(desk.kind.aggregate, BOOTS, 3)


# --- the identity of a command


def stocked(*commands: dict[str, Any]) -> tuple[Desk, list[dict[str, Any]]]:
    """Return a desk that has decided commands for one product, and their outcomes."""
    desk = Desk()
    return desk, [messages(desk.decide(desk.record(each)), "command-outcomes")[0]["data"] for each in commands]


def test_two_sources_may_use_the_same_id() -> None:
    desk, outcomes = stocked(
        receive(5, id="1", source="shop"), receive(5, id="1", source="warehouse"), receive(5, id="1", source="shop"),
        receive(5, id="1"), receive(5, id="1", source=None), receive(5, id="1", source=""),
    )  # fmt: skip
    assert [outcome["status"] for outcome in outcomes] == ["accepted"] * 6
    assert [outcome["version"] for outcome in outcomes] == [1, 2, 1, 3, 3, 3]  # without a source, all are of one
    assert [outcome["commandSource"] for outcome in outcomes] == ["shop", "warehouse", "shop", *["kafka"] * 3]
    assert desk.entry().state.balance.available == 15


@pytest.mark.parametrize(
    "other",
    [
        receive(6, id="1"),
        receive(5, id="1", expectedversion=1),
        {"type": "AdjustStock", "id": "1", "data": {"delta": 5}},
        {"type": "DiscontinueProduct", "id": "1", "data": {}},
    ],
)
def test_another_command_with_a_known_identity_is_refused_and_has_no_effect(other: dict[str, Any]) -> None:
    desk, (first, refused, again) = stocked(receive(5, id="1"), other, receive(5, id="1"))
    assert (refused["status"], refused["code"], refused["events"]) == ("rejected", "COMMAND_ID_REUSED", [])
    assert refused["commandType"] == other["type"]
    assert refused["message"].startswith("the command id 1 of source kafka was used for another ReceiveStock")
    assert refused["result"] == first["result"]
    assert refused["details"] == {"commandId": "1", "source": "kafka", "commandType": "ReceiveStock"}
    assert again == first
    assert (desk.entry().version, len(desk.entry().recent)) == (1, 1)


def test_the_same_content_in_another_spelling_is_the_same_command() -> None:
    _, (first, again) = stocked(
        receive(5, id="1"),
        {
            "data": {"quantity": 5},
            "id": "1",
            "type": "ReceiveStock",
            "correlationid": "other",
            "time": "2020-01-01T00:00:00Z",
        },
    )
    assert again == first


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"policy": "BACKORDER"}, True),  # the default
        ({"customerId": "another"}, False),
        ({"policy": "PARTIAL"}, False),
    ],
)
def test_an_order_placed_again_under_its_id_must_be_the_same_order(change: dict[str, Any], same: bool) -> None:
    desk = Desk(ORDER)
    first = desk.tell("PlaceOrder", written_order(), id="1", source="shop")["data"]
    desk.tell("Hold", {"reason": "check"})
    again = desk.tell("PlaceOrder", written_order() | change, id="1", source="shop")["data"]
    if same:
        assert again == {**first, "result": again["result"]}
    else:
        assert (again["status"], again["code"]) == ("rejected", "COMMAND_ID_REUSED")
    assert desk.entry().version == 2


def test_another_command_with_the_identity_of_the_order_is_refused() -> None:
    desk = Desk(ORDER)
    desk.tell("PlaceOrder", written_order(), id="1")
    assert desk.tell("Hold", {"reason": "check"}, id="1")["data"]["code"] == "COMMAND_ID_REUSED"


def test_an_order_placed_again_with_a_precondition_is_another_command() -> None:
    desk = Desk(ORDER)
    desk.tell("PlaceOrder", written_order(), id="1")
    assert desk.tell("PlaceOrder", written_order(), id="1", expectedversion=0)["data"]["code"] == "COMMAND_ID_REUSED"


def test_a_refusal_is_remembered_with_its_content_too() -> None:
    adjust = {"type": "AdjustStock", "id": "no", "data": {"delta": -9}}
    other = {"type": "AdjustStock", "id": "no", "data": {"delta": -1}}
    _, (_, first, again, reused) = stocked(receive(5), adjust, adjust, other)
    assert first == again
    assert (first["code"], reused["code"]) == ("INSUFFICIENT_STOCK", "COMMAND_ID_REUSED")


def test_a_refusal_is_the_answer_to_its_own_source_only() -> None:
    adjust: dict[str, Any] = {"type": "AdjustStock", "id": "no", "data": {"delta": -9}, "source": "shop"}
    _, (_, refused, other) = stocked(receive(5), adjust, adjust | {"source": "web", "data": {"delta": -1}})
    assert (refused["code"], other["status"]) == ("INSUFFICIENT_STOCK", "accepted")


def test_an_answer_of_older_code_is_given_to_any_source_and_content(older: tuple[Desk, Any]) -> None:
    """It contains neither source nor content, so only the id is compared, as it was then."""
    desk, _ = older
    name, data = ("ReceiveStock", {"quantity": 77}) if desk.kind is PRODUCT else ("Hold", {"reason": "x"})
    known = "c-2" if name == "ReceiveStock" else "p-2"
    assert desk.tell(name, data, id=known, source="another")["data"]["version"] == 2
    assert desk.entry().version == 2


def test_digests_stay_as_they_are() -> None:
    """They are stored with the answers: another digest for the same content would refuse a repeat."""
    desk = Desk()
    desk.decide(desk.record(receive(5, id="1", source="shop")), desk.record(receive(5, id="2", expectedversion=1)))
    assert [answer.digest for answer in desk.entry().recent] == ["a5eec4cae484240c", "bed9998df1aba2d4"]
    raw = desk.table.data.partitions[1].rows.get(segment(BOOTS))
    assert [answer["source"] for answer in json.loads(raw)["recent"]] == ["shop", "kafka"]


@pytest.mark.parametrize(
    ("name", "data", "same"),
    [
        ("Hold", {"reason": "check"}, True),
        ("Hold", {"reason": "another"}, True),  # the content is not known
        ("Release", {}, False),
        ("PlaceOrder", written_order(), False),
    ],
)
def test_an_answer_that_was_rebuilt_without_a_digest_is_given_to_its_own_type(
    name: str, data: dict[str, Any], same: bool
) -> None:
    """Outcomes that older code wrote name the source of a command, but not its content."""
    desk = Desk(ORDER)
    desk.tell("PlaceOrder", written_order(), id="1")
    held = desk.tell("Hold", {"reason": "check"}, id="2")["data"]
    entries = dict(desk.table.data.partitions[1].rows.items())
    (key,) = [key for key in entries if not key.startswith(b"/")]
    entry = json.loads(entries[key])
    for answer in entry["recent"]:
        answer.pop("digest", None)
    changed = MemoryRows(entries | {key: json.dumps(entry).encode()})
    desk.table.data.replace({1: Entries(desk.table.codec, changed)})
    again = desk.tell(name, data, id="2")["data"]
    del held["commandDigest"]  # as in an outcome of older code
    assert again == held if same else again["code"] == "COMMAND_ID_REUSED"
