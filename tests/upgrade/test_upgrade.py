"""Today's code starts on an installation that older code wrote, and goes on where that stopped (see README.md)."""

import gzip
import json
import re
import signal
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from system import free_ports
from upgrade_answers import answers
from upgrade_installation import Installation
from upgrade_story import ODD_IDS, UNDONE, placed

from ops import kafka, mongod

sys.path.append(str(Path(__file__).parents[1] / "outages"))

from servers import Server  # the line above is for it

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# The servers would delete what is older than a week: the recorded commands, outcomes, keys and offsets.
KEEP = """
log.retention.check.interval.ms=86400000
offsets.retention.check.interval.ms=86400000
"""
BOOTS = placed(("boots", 1), http=False)
REPEATED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("order-commands", {"id": "repeated-1", "type": "PlaceOrder", "data": BOOTS}),
    ("order-commands", {"id": "repeated-3", "type": "DeliverShipment", "data": {"shipmentId": "none"}}),
    ("inventory-commands", {"id": "shared", "type": "ReceiveStock", "data": {"quantity": 1}}),
)
ANSWER = ("status", "code", "version", "events")
# Older code gave two events of these one id: which of the two their logs show is chance when they are rebuilt.
COLLIDED = ("/orders/a/", "/orders/a?", "/orders/a%2Fb", "/orders/forgetful", "/inventory/boots/l", "/inventory/boots?")
# Fields that older answers did not have, and those of letters that today's lists leave out where they are large.
ADDED = {"id", "href", "valueBytes", "nextCursor"}
MOVED = {"value", "valueBase64", "headers", "traceback"}
FOUND_SINCE = {("event id", "order-events", "a")}  # older audits looked for ids that repeat within one order only


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    """What older code answered: `answers` by path, its `audit`, and its `commit`."""
    with gzip.open(HERE / "recorded/answers.json.gz") as file:
        return dict(json.load(file))


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The recorded installation under today's code, with nothing left to handle."""
    folder, port = tmp_path_factory.mktemp("upgrade"), free_ports(20)
    with tarfile.open(HERE / "recorded/installation.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    it = Installation(ROOT, Path(sys.executable), folder, port)
    servers = _servers(it, port)
    try:
        for server in servers:
            server.start()
        it.run("up", "--detach")
        it.quiet()
        yield it
    finally:
        it.run("down", check=False)
        for server in servers:
            server.stop(signal.SIGKILL)


def _servers(it: Installation, port: int) -> tuple[Server, Server]:
    broker = kafka.command(it.data / "kafka", it.kafka, port + 19)
    with (it.data / "kafka/server.properties").open("a") as properties:
        properties.write(KEEP)
    store = (*mongod.command(it.data / "mongo", "127.0.0.1", port + 1), "--setParameter", "ttlMonitorEnabled=false")
    return (
        Server("Kafka", broker, lambda: kafka.answers(it.kafka), it.data / "kafka.log"),
        Server("MongoDB", store, lambda: mongod.answers(it.mongo), it.data / "mongod.log"),
    )


def commands(recorded: dict[str, Any]) -> list[str]:
    """Return the ids of the recorded commands."""
    return [unquote(path.removeprefix("/commands/")) for path in recorded["answers"] if path.startswith("/commands/")]


def comparable(path: str, answer: Any) -> Any:
    """Return an answer without the documents that were left undone, which change when today's code starts.

    Letters of one moment are in no order.
    """
    found = answer["data"]
    if not isinstance(found, list):
        return answer
    if path.startswith("/letters?kind"):
        found = sorted(found, key=lambda letter: [str(letter.get(name)) for name in ("topic", "offset", "key", "role")])
    return answer | {"data": [each for each in found if not str(each.get("id")).startswith("undone-")]}


def differences(it: Installation, recorded: dict[str, Any]) -> list[str]:
    """Return what today's code answers otherwise than it was recorded, one line each."""
    now = answers(it, commands(recorded))
    return [
        line
        for path, before in recorded["answers"].items()
        if before["status"] < 500  # what older code could not answer
        for line in compared(comparable(path, now.get(path, {"data": None})), comparable(path, before), path)
    ]


def compared(now: Any, before: Any, where: str) -> Iterator[str]:
    """Yield where `now` does not say what `before` said; it may have `ADDED` fields."""
    if isinstance(before, dict) and isinstance(now, dict):
        yield from (f"{where}.{name} is new" for name in now.keys() - before.keys() - ADDED)
        moved = MOVED if where.startswith("/letters") else set()
        for name in before.keys() - (moved - now.keys()):
            yield from compared(now.get(name), before[name], f"{where}.{name}")
    elif isinstance(before, list) and isinstance(now, list) and len(now) == len(before):
        for number, (each, earlier) in enumerate(zip(now, before, strict=True)):
            yield from compared(each, earlier, f"{where}.{number}")
    elif now != before:
        yield f"{where}: {before!s:.200} is now {now!s:.200}"


def drifts(report: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Return what an audit complains of: kind, where and key; read models without their version.

    Of the events of `a` and `a/b` that have one id, it names the one it reads later.
    """
    return {
        (drift["kind"], re.sub(r"_v\d+$", "", drift["where"]), "a" if drift["key"] == "a/b" else drift["key"])
        for drift in report["drift"]
    }


def test_it_answers_as_it_did(it: Installation, recorded: dict[str, Any]) -> None:
    assert differences(it, recorded) == []


def test_the_audit_finds_what_older_code_did_wrong_and_no_more(it: Installation, recorded: dict[str, Any]) -> None:
    report = json.loads(it.run("audit", "--json", check=False))
    assert drifts(report) == drifts(recorded["audit"]) | FOUND_SINCE
    tables = it.run("replay", "tables", "--verify", check=False)
    assert "drift: 1 × history" in tables, tables  # the event that was skipped


def test_the_command_line_reads_it(it: Installation) -> None:
    for arguments, said in (
        (("outcomes", "repeated-3"), "SHIPMENT_NOT_FOUND"),
        (("trace", "parked-retried-1"), "OrderPlaced"),
        (("explain", "parked-left"), "parked"),
        (("letters", "list", "--json"), "parked-stock"),
        (("projections", "list"), "inventory"),
        (("replay", "orders", "--id", "held"), "1"),
    ):
        assert said in it.run(*arguments), arguments


def test_commands_that_were_left_are_decided(it: Installation) -> None:
    """They were sent by older code: by its API, and by its process manager."""

    def order(order_id: str, **wanted: Any) -> Any:
        found = it.expect(200, "GET", f"/orders/{order_id}")["data"]
        assert {field: found[field] for field in wanted} == wanted
        return found["items"][0]

    for product in UNDONE:
        order(f"{product}-cancel", status="CANCELLED")
        order(f"{product}-ship", status="SHIPPED")
        unshipped = order(f"{product}-unship", status="REGISTERED", allocationStatus="ALLOCATED")
        back = order(f"{product}-back", status="DELIVERED", returnStatus="PARTIALLY_RETURNED")
        waits = order(f"{product}-waits", allocationStatus="ALLOCATED", hold={"reason": "undecided"})
        new = order(f"{product}-new", allocationStatus="ALLOCATED")
        units = [unshipped["allocated"], back["returned"], waits["allocated"], new["allocated"]]
        assert units == [2, 1, 50, 1]
        stock = it.expect(200, "GET", f"/inventory/{product}")["data"]
        assert [stock[f"{what}Quantity"] for what in ("onHand", "allocated", "available")] == [107, 53, 54]


def test_read_models_are_rebuilt_as_they_were(it: Installation, recorded: dict[str, Any]) -> None:
    it.run("replay", "all")
    assert [line for line in differences(it, recorded) if not line.startswith(COLLIDED)] == []


def test_a_command_sent_again_is_answered_again(it: Installation, recorded: dict[str, Any]) -> None:
    paths = {"order-commands": "/orders/repeated", "inventory-commands": "/inventory/laces"}
    before = {path: it.expect(200, "GET", path) for path in paths.values()}
    for topic, command in REPEATED:
        it.produce(topic, paths[topic].split("/")[2], command)
    it.quiet()
    for _, command in REPEATED:
        path = f"/commands/{command['id']}"
        again, first = it.expect(200, "GET", path)["data"], recorded["answers"][path]["data"]
        assert [again[name] for name in ANSWER] == [first[name] for name in ANSWER]
    assert {path: it.expect(200, "GET", path) for path in paths.values()} == before


def test_stored_answers_are_given_again(it: Installation, recorded: dict[str, Any]) -> None:
    orders = recorded["answers"]["/orders?limit=500"]["data"]
    (unnamed,) = [each["id"] for each in orders if each["items"][0]["productId"] == "laces"]
    again = it.expect(201, "POST", "/orders", placed(("laces", 1)), Idempotency_Key="order-unnamed")
    assert again["data"]["id"] == unnamed
    stock = it.expect(200, "PUT", "/inventory/boots", {"quantity": 500}, Idempotency_Key="stock-boots")
    assert (stock["data"]["version"], stock["data"]["onHandQuantity"]) == (1, 500)
    it.expect(422, "PUT", "/inventory/boots", {"quantity": 501}, Idempotency_Key="stock-boots")


def test_a_stored_202_becomes_the_outcome(it: Installation) -> None:
    """Older code kept a 202 for a week, although the command was decided seconds later."""
    hold: dict[str, Any] = {"reason": "async"}
    assert it.expect(200, "POST", "/orders/released/hold", hold, Idempotency_Key="held-async")["data"]["version"] == 5
    for product in UNDONE:
        path, key = f"/orders/{product}-waits/hold", f"{product}-undecided"
        decided = it.expect(200, "POST", path, {"reason": "undecided"}, Idempotency_Key=key)["data"]
        (held,) = [
            event["sequence"]
            for event in it.expect(200, "GET", f"/orders/{product}-waits/events")["data"]
            if event["type"] == "OrderHeld"
        ]
        assert decided["version"] == held


def test_what_is_there_can_be_worked_on(it: Installation) -> None:
    it.expect(200, "POST", "/orders/partly/shipments/p-1/deliver", {}, If_Match='"8"')
    it.expect(201, "POST", "/orders/waits/shipments", {"shipmentId": "s"})
    it.expect(200, "POST", "/orders/delivered/returns/r-2/receive", {})
    it.quiet()
    for order in ("partly", "waits", "delivered"):
        events = it.expect(200, "GET", f"/orders/{order}/events?limit=500")["data"]
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
        assert len({event["id"] for event in events}) == len(events)


def test_an_order_with_an_odd_id_can_be_finished(it: Installation) -> None:
    """Such ids may be refused today; an order that has one is not stuck."""
    for odd in ODD_IDS:
        it.produce("order-commands", odd, {"type": "CancelOrder", "data": {"reason": odd}})
    it.quiet()
    orders = {each["id"]: each for each in it.expect(200, "GET", "/orders?limit=500")["data"]}
    assert {odd: orders[odd]["status"] for odd in ODD_IDS} == dict.fromkeys(ODD_IDS, "CANCELLED")
    products = {each["id"]: each for each in it.expect(200, "GET", "/inventory?limit=500")["data"]}
    assert {odd: products[odd]["availableQuantity"] for odd in ODD_IDS} == dict.fromkeys(ODD_IDS, 5)


def test_parked_letters_can_be_retried_and_discarded(it: Installation, recorded: dict[str, Any]) -> None:
    assert "4 handled, 0 left" in it.run("letters", "retry", "parked-left")
    it.quiet()
    it.order("parked-left", allocationStatus="ALLOCATED", hold={"reason": "last"})
    it.run("letters", "discard", "parked-stock", "--command", "stock-AdjustStock", "--reason", "counted again")
    it.run("letters", "retry", "parked-stock")
    it.quiet()
    assert it.expect(200, "GET", "/inventory/parked-stock")["data"]["onHandQuantity"] == 10
    assert it.expect(200, "GET", "/letters")["data"] == []
    assert drifts(json.loads(it.run("audit", "--json", check=False))) == {
        drift for drift in drifts(recorded["audit"]) | FOUND_SINCE if drift[0] != "line"
    }
