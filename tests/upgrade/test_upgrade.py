"""Today's code starts on an installation that older code wrote, and continues its work (see README.md)."""

import json
from typing import Any

from upgrade_compare import drifts, faults, unexpected
from upgrade_installation import Installation
from upgrade_story import ODD_IDS, ODDER_IDS, UNDONE, placed

BOOTS = placed(("boots", 1), http=False)
REPEATED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("order-commands", {"id": "repeated-1", "type": "PlaceOrder", "data": BOOTS}),
    ("order-commands", {"id": "repeated-3", "type": "DeliverShipment", "data": {"shipmentId": "none"}}),
    ("inventory-commands", {"id": "shared", "type": "ReceiveStock", "data": {"quantity": 1}}),
)
ANSWER = ("status", "code", "version", "events")


def test_every_answer_is_unchanged(it: Installation, recorded: dict[str, Any]) -> None:
    assert unexpected(it, recorded, faults(recorded).forgotten) == []


def test_the_audit_finds_only_the_faults_of_older_code(it: Installation, recorded: dict[str, Any]) -> None:
    report = json.loads(it.run("audit", "--json", check=False))
    assert drifts(report) == drifts(recorded["audit"]) | faults(recorded).found_since
    tables = it.run("replay", "tables", "--verify", check=False)
    assert "drift: 1 × history" in tables, tables  # the event that was skipped


def test_the_command_line_reads_the_installation(it: Installation) -> None:
    for arguments, said in (
        (("outcomes", "repeated-3"), "SHIPMENT_NOT_FOUND"),
        (("trace", "parked-retried-1"), "OrderPlaced"),
        (("explain", "parked-left"), "parked"),
        (("letters", "list", "--json"), "parked-stock"),
        (("projections", "list"), "inventory"),
        (("replay", "orders", "--id", "held"), "1"),
    ):
        assert said in it.run(*arguments), arguments


def test_undecided_commands_are_decided(it: Installation) -> None:
    """The older API and the older process manager sent them."""

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


def test_read_models_are_rebuilt_unchanged(it: Installation, recorded: dict[str, Any]) -> None:
    it.run("replay", "all")
    known = faults(recorded)
    assert unexpected(it, recorded, known.forgotten + known.rebuilt) == []
    for order, version in (("forgetful", 37), ("a", 2), ("a%2Fb", 2)):
        events = it.expect(200, "GET", f"/orders/{order}/events?limit=500")["data"]
        assert [event["sequence"] for event in events] == list(range(1, version + 1))
    report = json.loads(it.run("audit", "--json", check=False))
    assert drifts(report) == {each for each in drifts(recorded["audit"]) | known.found_since if each[0] != "document"}


def test_read_models_get_the_shapes_of_today(it: Installation, recorded: dict[str, Any]) -> None:
    for name in ("orders", "inventory"):
        it.run("projections", "deploy", name)
        assert ", 0 differ" in it.run("projections", "verify", name)
        it.run("projections", "promote", name)
        it.run("projections", "retire", name)
    known = faults(recorded)
    assert unexpected(it, recorded, known.forgotten + known.rebuilt) == []
    report = json.loads(it.run("audit", "--json", check=False))
    assert drifts(report) == {each for each in drifts(recorded["audit"]) | known.found_since if each[0] != "document"}


def test_a_repeated_command_gets_its_answer_again(it: Installation, recorded: dict[str, Any]) -> None:
    paths = {"order-commands": "/orders/repeated", "inventory-commands": "/inventory/laces"}
    before = {path: it.expect(200, "GET", path) for path in paths.values()}
    asked = [_outcome_path(recorded, command["id"]) for _, command in REPEATED]
    first = [it.expect(200, "GET", path)["data"] for path in asked]
    for topic, command in REPEATED:
        it.produce(topic, paths[topic].split("/")[2], command)
    it.quiet()
    for path, earlier in zip(asked, first, strict=True):
        again = it.expect(200, "GET", path)["data"]
        assert [again[name] for name in ANSWER] == [earlier[name] for name in ANSWER]
    assert {path: it.expect(200, "GET", path) for path in paths.values()} == before


def _outcome_path(recorded: dict[str, Any], command_id: str) -> str:
    """Return where an outcome is: `shared` was sent to two products, and 1e1ad36 kept the outcome of one of them."""
    answer = recorded["answers"][f"/commands/{command_id}"]
    aggregate_id = answer["data"]["aggregateId"] if answer["status"] == 200 else "laces"
    return f"/commands/{command_id}?aggregateId={aggregate_id}"


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


def test_existing_orders_continue(it: Installation) -> None:
    it.expect(200, "POST", "/orders/partly/shipments/p-1/deliver", {}, If_Match='"8"')
    it.expect(201, "POST", "/orders/waits/shipments", {"shipmentId": "s"})
    it.expect(200, "POST", "/orders/delivered/returns/r-2/receive", {})
    it.quiet()
    for order in ("partly", "waits", "delivered"):
        events = it.expect(200, "GET", f"/orders/{order}/events?limit=500")["data"]
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
        assert len({event["id"] for event in events}) == len(events)


def test_an_order_with_an_odd_id_can_be_finished(it: Installation, recorded: dict[str, Any]) -> None:
    """Today's code refuses some of them for new orders; existing ones must not be stuck."""
    known = {each["id"] for each in recorded["answers"]["/orders?limit=500"]["data"]}
    odd_ids = [odd for odd in (*ODD_IDS, *ODDER_IDS) if odd in known]
    assert odd_ids[: len(ODD_IDS)] == [*ODD_IDS]
    for odd in odd_ids:
        it.produce("order-commands", odd, {"type": "CancelOrder", "data": {"reason": odd}})
    it.quiet()
    orders = {each["id"]: each for each in it.expect(200, "GET", "/orders?limit=500")["data"]}
    assert {odd: orders[odd]["status"] for odd in odd_ids} == dict.fromkeys(odd_ids, "CANCELLED")
    products = {each["id"]: each for each in it.expect(200, "GET", "/inventory?limit=500")["data"]}
    assert {odd: products[odd]["availableQuantity"] for odd in odd_ids} == dict.fromkeys(odd_ids, 5)


def test_parked_letters_can_be_retried_and_discarded(it: Installation) -> None:
    assert "4 handled, 0 left" in it.run("letters", "retry", "parked-left")
    it.quiet()
    it.order("parked-left", allocationStatus="ALLOCATED", hold={"reason": "last"})
    it.run("letters", "discard", "parked-stock", "--command", "stock-AdjustStock", "--reason", "counted again")
    it.run("letters", "retry", "parked-stock")
    it.quiet()
    assert it.expect(200, "GET", "/inventory/parked-stock")["data"]["onHandQuantity"] == 10
    assert it.expect(200, "GET", "/letters")["data"] == []
    assert "line" not in {kind for kind, _, _ in drifts(json.loads(it.run("audit", "--json", check=False)))}
