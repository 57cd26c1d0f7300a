"""`fulfillment trace` shows the tree of one flow, from given messages and from the real topics."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from rich.console import Console
from system import ADDRESS, Api, System

from ops.commands.trace import tree
from ops.errors import Misconfigured
from ops.tracing.flow import begin
from ops.tracing.nodes import Flow, Node

TIME = "2026-11-23T10:00:00.000Z"


def envelope(identifier: str, name: str, cause: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": identifier, "type": name, "causationid": cause, "time": TIME, "source": "web", **more}


def shape(nodes: list[Node]) -> list[Any]:
    return [(node.type, shape(node.caused)) for node in nodes]


def outcome(command: str, status: str, **more: Any) -> dict[str, Any]:
    data = {"commandId": command, "commandType": "PlaceOrder", "status": status, **more}
    return {"data": {**data, "aggregate": "order", "aggregateId": "o"}}


def test_messages_are_below_their_causes_in_any_order_of_arrival() -> None:
    flow = Flow()
    flow.add("event", "inventory", envelope("e2", "StockReserved", "c2", sequence=1), "boots", "t/0@1")
    flow.add("command", "inventory", envelope("c2", "ReserveStock", "e1"), "boots", "t/0@1")
    flow.add("event", "order", envelope("e1", "OrderPlaced", "c1", sequence=1), "o", "t/0@1")
    flow.add("command", "order", envelope("c1", "PlaceOrder"), "o", "t/0@1")
    flow.add("command", "order", envelope("c1", "PlaceOrder"), "o", "t/3@9")  # forwarded: the same
    flow.outcome(outcome("c1", "accepted"))
    roots = flow.roots()
    assert shape(roots) == [("PlaceOrder", [("OrderPlaced", [("ReserveStock", [("StockReserved", [])])])])]
    assert (roots[0].status, roots[0].at, roots[0].caused[0].sequence) == ("accepted", "t/3@9", 1)
    assert json.loads(json.dumps(roots[0].document()))["caused"][0]["caused"][0]["aggregateId"] == "boots"


def test_events_outlive_their_commands() -> None:
    flow = Flow()
    flow.add("event", "order", envelope("e1", "OrderPlaced", "c1", sequence=1), "o", "t/0@1")
    flow.add("event", "order", envelope("e2", "OrderHeld", "c1", sequence=2), "o", "t/0@2")
    (command,) = flow.roots()
    assert (command.id, command.type, [event.type for event in command.caused]) == (
        "c1", None, ["OrderPlaced", "OrderHeld"],
    )  # fmt: skip


def test_commands_that_share_an_id_have_their_own_events_and_outcomes() -> None:
    flow = Flow()
    for order, name in (("o", "OrderPlaced"), ("p", "OrderHeld")):
        flow.add("command", "order", envelope("c1", "PlaceOrder"), order, "t/0@1")
        flow.add("event", "order", envelope(f"e-{order}", name, "c1", sequence=1), order, "t/0@1")
    flow.add("command", "order", envelope("c1", "Hold"), "o", "t/0@2")  # the same identity: refused
    told = {"commandId": "c1", "commandType": "PlaceOrder", "aggregate": "order"}
    flow.outcome({"data": {**told, "aggregateId": "o", "status": "accepted"}})
    flow.outcome({"data": {**told, "aggregateId": "o", "status": "rejected", "code": "COMMAND_ID_REUSED"}})
    flow.outcome({"data": {**told, "aggregateId": "p", "status": "rejected", "code": "ORDER_ON_HOLD"}})
    found = [
        (node.aggregate_id, node.type, node.status, [event.type for event in node.caused]) for node in flow.roots()
    ]
    assert found == [
        ("o", "PlaceOrder", "accepted", ["OrderPlaced"]),
        ("p", "PlaceOrder", "rejected", ["OrderHeld"]),
    ]


@pytest.mark.parametrize(
    ("kinds", "status"), [(["parked"], "parked"), (["parked", "discarded"], "rejected"), (["invalid"], "rejected")]
)
def test_letters_determine_the_status_of_a_command(kinds: list[str], status: str) -> None:
    flow = Flow()
    flow.add("command", "order", envelope("c1", "Hold"), "o", "t/0@1")
    if status == "rejected":
        flow.outcome(outcome("c1", "rejected", code="DISCARDED", message="why"))
    for kind in kinds:
        flow.letter({"commandId": "c1", "kind": kind, "code": "X", "message": "KeyError [1]"})
    console = Console(width=200, file=StringIO())
    with console.capture() as shown:
        console.print(tree("c1", flow.roots()))
    assert f"{status}: X: KeyError [1]" in shown.get()


def test_the_time_at_which_reading_begins() -> None:
    assert begin("checkout-1", None) is None
    assert begin(str(uuid4()), None) is None
    assert begin("0198f0c2-0000-7000-8000-000000000000", None) == 0x0198F0C20000 / 1000 - 300
    assert begin("checkout-1", "2026-11-23") == 1795392000
    with pytest.raises(Misconfigured, match="--since"):
        begin("checkout-1", "yesterday")


async def test_a_real_flow_across_all_topics(system: System, api: Api) -> None:
    run = uuid4().hex[:8]
    product, order, flow = f"boots-{run}", f"order-{run}", f'flow "{run}"'
    await api.stock(product, 1)
    items = [{"productId": product, "quantity": 1, "price": "10.00"}]
    body = {"orderId": order, "customerId": "c", "items": items, "shippingAddress": ADDRESS}
    headers = {"Correlation-Id": flow}
    status, answer, _ = await api("POST", "/orders", body, headers=headers)
    assert status == 201, answer
    await api.order(order, lambda found: found["allocationStatus"] == "ALLOCATED")
    await api("POST", f"/orders/{order}/shipments/none/deliver", {}, headers=headers)
    sent = json.loads(system.run("trace", flow, "--json").stdout)
    assert list(walk(sent)) == [
        (0, "PlaceOrder", "accepted"),
        (1, "OrderPlaced", None),
        (2, "ReserveStock", None),
        (3, "StockReserved", None),
        (4, "RecordAllocation", None),
        (5, "AllocationRecorded", None),
        (0, "DeliverShipment", "rejected"),
    ]
    assert sent[-1]["code"] == "SHIPMENT_NOT_FOUND"
    unknown = system.run("trace", f"nothing-{run}", "--since", "2026-01-01", check=False)
    assert unknown.returncode == 75
    assert "No message on the topics belongs to" in unknown.stderr


def walk(nodes: list[Any], depth: int = 0) -> Iterator[tuple[int, str, str | None]]:
    for node in nodes:
        yield depth, node["type"], node.get("status")
        yield from walk(node["caused"], depth + 1)
