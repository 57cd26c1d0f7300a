"""The history of the recorded installation: every command and event, and odd input that real producers send."""

import signal
from collections.abc import Sequence
from typing import Any

from upgrade_installation import Installation

ADDRESS = {"street": "1 High St", "city": "Bath", "state": "SOM", "zipcode": "BA1", "country": "GB"}
EXTRA = {"name": "Ada L.", "company": "Engines Ltd", "line2": "Flat 2", "phone": "+44 1", "email": "ada@example.org"}
FAULTS = "raise:Hold,raise:AdjustStock"  # these commands meet a bug in `bugs`
# Ids that a URL changes, or that differ in case only; and others that only commit 1e1ad36 accepts.
ODD_IDS = ("café", "a/b?c#d%20", "ORDER-CASE", "order-case")
ODDER_IDS = ("..", " odd ", "zero\u200bwidth", "cafe\u0301")


def placed(*lines: tuple[str, int], http: bool = True, **more: Any) -> dict[str, Any]:
    """Return the body of an order of (product, quantity) lines; over Kafka, the data."""
    price: Any = "10.00" if http else {"amount": 1000, "currency": "EUR"}
    return {
        "customerId": "ada",
        "items" if http else "lines": [{"productId": p, "quantity": q, "price": price} for p, q in lines],
        "shippingAddress": ADDRESS,
        "billingAddress": ADDRESS,
    } | more


def lines(quantity: int, line_id: str = "1") -> dict[str, Any]:
    """Return a body that names one line."""
    return {"lines": [{"lineId": line_id, "quantity": quantity}]}


def over_http(it: Installation) -> None:
    """Bring orders and products into every state that HTTP can bring them into."""
    it.expect(200, "PUT", "/inventory/boots", {"quantity": 500}, Idempotency_Key="stock-boots")
    it.expect(200, "POST", "/inventory/boots/receive", {"quantity": 20})
    it.expect(200, "POST", "/inventory/boots/adjust", {"delta": -3, "reason": "broken", "expectedOnHand": 520})
    it.expect(409, "POST", "/inventory/boots/adjust", {"delta": -3, "expectedOnHand": 520})
    it.expect(200, "POST", "/inventory/boots/allocate", {"orderId": "by-phone", "quantity": 3})
    it.expect(200, "POST", "/inventory/boots/return", {"orderId": "by-phone", "quantity": 1})
    for product in ("laces", "end-of-line", "scarce", "red/shoes"):
        it.expect(200, "PUT", f"/inventory/{product.replace('/', '%2F')}", {"quantity": 4})

    def place(order_id: str, *wanted: tuple[str, int], status: int = 201, **more: Any) -> Any:
        return it.expect(status, "POST", "/orders", placed(*wanted, orderId=order_id, **more))

    it.expect(201, "POST", "/orders", placed(("boots", 2), orderId="delivered"), Idempotency_Key="order-delivered")
    it.expect(201, "POST", "/orders", placed(("laces", 1)), Idempotency_Key="order-unnamed")
    it.expect(201, "POST", "/orders/delivered/shipments", {"shipmentId": "p-1", "carrier": "DHL"})
    it.expect(200, "POST", "/orders/delivered/shipments/p-1/deliver", {}, If_Match='"3"')
    it.expect(412, "POST", "/orders/delivered/hold", {}, If_Match='"3"')
    it.expect(201, "POST", "/orders/delivered/returns", lines(1) | {"returnId": "r-1", "reason": "too small"})
    it.expect(200, "POST", "/orders/delivered/returns/r-1/receive",
              {"lines": [{"lineId": "1", "received": 1, "damaged": 1}]})  # fmt: skip
    it.expect(201, "POST", "/orders/delivered/returns", lines(1) | {"returnId": "r-2"})
    it.expect(422, "DELETE", "/orders/delivered", {"reason": "too late"})
    place("partly", ("boots", 5), ("red/shoes", 2), totalCost="70.00", issuedAt="2026-11-01T08:00:00Z")
    it.expect(201, "POST", "/orders/partly/shipments", lines(3) | {"shipmentId": "p-1", "trackingNumber": "T1"})
    it.expect(200, "POST", "/orders/partly/shipments/p-1/deliver", lines(2))
    it.expect(201, "POST", "/orders/partly/shipments", lines(1) | {"shipmentId": "p-2"})
    it.expect(200, "DELETE", "/orders/partly/shipments/p-2")
    it.expect(200, "POST", "/orders/partly/lines/cancel", lines(1, "2") | {"reason": "one is enough"})
    place("cancelled", ("boots", 1), billingAddress=ADDRESS | EXTRA)
    it.expect(200, "DELETE", "/orders/cancelled", {"reason": "changed my mind"})
    it.expect(200, "DELETE", "/orders/cancelled", {"reason": "again"})
    place("held", ("boots", 1))
    it.expect(200, "POST", "/orders/held/hold", {"reason": "fraud check"})
    it.expect(422, "POST", "/orders/held/shipments", {})
    place("released", ("boots", 1))
    it.expect(200, "POST", "/orders/released/hold", {})
    it.expect(200, "DELETE", "/orders/released/hold")
    place("by-status", ("boots", 2))
    it.expect(200, "PUT", "/orders/by-status/status", {"status": "SHIPPED"})
    it.expect(200, "PUT", "/orders/by-status/status", {"status": "DELIVERED"})
    it.expect(422, "PUT", "/orders/by-status/status", {"status": "CANCELLED"})
    place("waits", ("scarce", 6))
    place("takes-what-is-there", ("scarce", 3), policy="PARTIAL")
    place("all-or-nothing", ("boots", 1), ("scarce", 3), policy="ALL_OR_NOTHING")
    place("unknown-product", ("boots", 1), ("nobody-stocked-this", 1))
    place("discontinued", ("end-of-line", 6))
    it.order("discontinued", allocationStatus="PARTIALLY_ALLOCATED")
    it.expect(200, "POST", "/inventory/end-of-line/discontinue", {"reason": "end of line"})
    it.expect(200, "POST", "/inventory/laces/discontinue", {"reason": "by mistake"})
    it.expect(200, "POST", "/inventory/laces/reactivate")
    place("mismatch", ("boots", 1), totalCost="11.00", status=422)
    it.expect(400, "POST", "/orders", placed(("boots", 0), orderId="invalid"))
    it.expect(404, "DELETE", "/orders/no-such-order")
    it.expect(202, "POST", "/orders/released/hold", {"reason": "async"}, Prefer="respond-async",
              Idempotency_Key="held-async")  # fmt: skip


def over_kafka_only(it: Installation) -> None:
    """Send what HTTP has no way to send: ids that a URL changes, and the producer's own times."""
    for each in ODD_IDS:
        _odd(it, each)
    for time in ("2020-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        key = f"at-{time[:4]}"
        order = {"type": "PlaceOrder", "time": time, "data": placed(("boots", 1), http=False)}
        it.produce("order-commands", key, order, timestamp=1_600_000_000_000)
        it.order(key, allocationStatus="ALLOCATED")
        for second in ("9999-06-01T00:00:00Z", "1999-06-01T00:00:00Z"):
            it.produce("order-commands", key, {"type": "Hold", "time": second, "data": {"reason": second}})


def large(it: Installation) -> None:
    """Make documents and table entries of many kilobytes: an order of 40 lines, one of which has many shipments."""
    wanted = [("boots", 1)] * 39 + [("wool", 40)]
    it.expect(200, "PUT", "/inventory/wool", {"quantity": 60})
    it.expect(201, "POST", "/orders", placed(*wanted, orderId="large"))
    it.order("large", allocationStatus="ALLOCATED")
    for number in range(12):
        body = lines(2, "40") | {"shipmentId": f"p-{number}", "trackingNumber": f"T-{number:04}"}
        it.expect(201, "POST", "/orders/large/shipments", body)
    it.expect(200, "POST", "/orders/large/shipments/p-0/deliver", {})
    it.expect(201, "POST", "/orders/large/returns", lines(1, "40") | {"returnId": "r"})


def only_accepted_by_1e1ad36(it: Installation) -> None:
    """Send what later code refuses: what it led to must stay readable and usable."""
    twice = ADDRESS | {"zipcode": "", "zipCode": "D02"}
    it.expect(201, "POST", "/orders", placed(("boots", 1), orderId="zip-twice", shippingAddress=twice))
    yen = [{"productId": "boots", "quantity": 1, "price": {"currency": "JPY", "value": "1"}}] * 10
    it.expect(201, "POST", "/orders", placed(orderId="rounded", items=yen, totalCost="20"))
    free = [{"productId": "boots", "quantity": 1, "price": 0.004}]
    it.expect(201, "POST", "/orders", placed(orderId="free", items=free))
    it.expect(201, "POST", "/orders", placed(("boots", 3), orderId="ships-all", note="unknown field"))
    it.order("ships-all", allocationStatus="ALLOCATED")
    it.expect(201, "POST", "/orders/ships-all/shipments", {"shipmentId": "s", "items": lines(1)["lines"]})
    it.expect(201, "POST", "/orders/ships-all/shipments", {"shipmentId": "s"} | lines(2))  # 201 for nothing
    for each in ODDER_IDS:
        _odd(it, each)
    it.produce("order-commands", "customer-7", {"type": "PlaceOrder", "data": placed(("boots", 1), http=False)})
    it.produce("order-commands", "held", {"type": "Release", "subject": "released", "data": {"orderId": "released"}})


def _odd(it: Installation, each: str) -> None:
    it.produce("inventory-commands", each, {"type": "SetStock", "data": {"quantity": 5}})
    it.produce("order-commands", each, {"type": "PlaceOrder", "data": placed((each, 1), http=False)})


def identities(it: Installation) -> None:
    """Send command ids that repeat: on one aggregate, on two, from two sources, after many others."""
    for source in ("warehouse-1", "warehouse-2"):
        receive = {"id": "1", "source": source, "type": "ReceiveStock", "data": {"quantity": 5}}
        it.produce("inventory-commands", "laces", receive)
    for key in ("laces", "boots"):
        it.produce("inventory-commands", key, {"id": "shared", "type": "ReceiveStock", "data": {"quantity": 1}})
    order = {"type": "PlaceOrder", "data": placed(("boots", 1), http=False)}
    for key, command_id in (("a", "b/c"), ("a/b", "c")):  # both events have the same id
        it.produce("order-commands", key, order | {"id": command_id})
    for _ in range(2):
        it.produce("order-commands", "repeated", order | {"id": "repeated-1"})
        it.produce("order-commands", "repeated", {"id": "repeated-2", "type": "CreateShipment", "data": {"lines": []}})
        it.produce("order-commands", "repeated", {"id": "repeated-3", "type": "DeliverShipment",
                                                  "data": {"shipmentId": "none"}})  # fmt: skip
    it.produce("order-commands", "forgetful", order)
    holds = [f"hold-{number}" for number in range(34)]
    for each in (*holds, holds[0]):  # the last event has the id of the first
        it.produce("order-commands", "forgetful", {"id": each, "type": "Hold", "data": {"reason": each}})


def over_kafka(it: Installation) -> None:
    """Produce what other clients produce: other envelopes, wrong partitions, rubbish."""
    event = {"specversion": "1.0", "datacontenttype": "application/json", "dataschema": "https://example.org/s",
             "correlationid": "flow-1", "myextension": "x", "source": "/shop/1"}  # fmt: skip
    headers = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("raw", b"\xff\x00")]
    order = event | {"type": "PlaceOrder", "data": placed(("boots", 1), http=False), "id": "cloud-1"}
    it.produce("order-commands", "cloud", order, headers=headers)
    it.produce("inventory-commands", None, {"type": "SetStock", "data": {"productId": "keyless", "quantity": 7}})
    for partition in range(3):  # at least two of them are not the key's
        for data in ({"type": "PlaceOrder", "data": placed(("boots", 1), http=False)}, {"type": "Hold", "data": {}}):
            it.produce("order-commands", f"moved-{partition}", data | event, partition)
    it.produce("inventory-commands", "boots", {"type": "FillBackorders"})
    it.produce("order-commands", "cloud", {"type": "Hold", "expectedversion": 99, "data": {}})
    for value in (b"not json", b"", b"\xff\xfe", b"[]", b'{"type":"EatOrder"}', b'{"type":"Hold","data":{"reason":1}}'):
        it.produce("order-commands", "rubbish", value, headers=headers)


def bugs(it: Installation) -> None:
    """Park commands: this runs with `FAULTS`."""
    order = {"type": "PlaceOrder", "data": placed(("boots", 1), http=False)}
    for key in ("parked-retried", "parked-discarded", "parked-left"):
        it.produce("order-commands", key, order | {"id": f"{key}-1"})
        it.produce("order-commands", key, {"id": f"{key}-2", "type": "Hold", "data": {"reason": "first"}})
        it.produce("order-commands", key, {"id": f"{key}-3", "type": "Release", "data": {}})
        it.produce("order-commands", key, {"id": f"{key}-4", "type": "Hold", "data": {"reason": "last"}})
    for name, data in (
        ("SetStock", {"quantity": 9}),
        ("AdjustStock", {"delta": -1}),
        ("ReceiveStock", {"quantity": 1}),
    ):
        it.produce("inventory-commands", "parked-stock", {"id": f"stock-{name}", "type": name, "data": data})
    it.quiet()
    it.run("letters", "retry", "parked-left", check=False)


def operators(it: Installation) -> None:
    """Retry and discard letters, skip an event, rebuild a read model: this runs without faults."""
    it.run("letters", "retry", "parked-retried")
    it.run("letters", "discard", "parked-discarded", "--command", "parked-discarded-2", "--reason", "not wanted")
    it.run("letters", "retry", "parked-discarded")
    exploded = {"type": "OrderExploded", "subject": "nobody", "sequence": 1, "data": {}}
    offset = it.produce("order-events", "nobody", exploded, 0)
    it.wait(lambda: it.lags()["fulfilment"] > 0, "the process manager to be blocked")
    for role in ("fulfilment", "projector"):
        it.run("skip", role, f"order-events/0@{offset}", "--reason", "typed by mistake")
    it.quiet()
    it.run("replay", "inventory")


UNDONE = tuple(f"undone-{number}" for number in range(6))


def left_undone(it: Installation, products: Sequence[str] = UNDONE) -> None:
    """Leave commands and events unhandled; this runs with two workers of the roles `inventory` and `fulfilment`.

    One worker of each stops, and with it the products and the events of its partitions. Then the orders worker stops.
    """

    def undone(order_id: str, *wanted: tuple[str, int]) -> dict[str, Any]:
        return placed(*wanted, orderId=order_id, customerId="undone")

    for product in products:
        it.expect(200, "PUT", f"/inventory/{product}", {"quantity": 10})
        for name in ("cancel", "ship", "unship", "back"):
            it.expect(201, "POST", "/orders", undone(f"{product}-{name}", (product, 2)))
            it.order(f"{product}-{name}", allocationStatus="ALLOCATED")
        it.expect(201, "POST", f"/orders/{product}-unship/shipments", {"shipmentId": "s"})
        it.expect(200, "PUT", f"/orders/{product}-back/status", {"status": "SHIPPED"})
        it.expect(200, "PUT", f"/orders/{product}-back/status", {"status": "DELIVERED"})
        it.expect(201, "POST", f"/orders/{product}-back/returns", lines(1) | {"returnId": "r"})
        it.expect(201, "POST", "/orders", undone(f"{product}-waits", (product, 50)))
    it.quiet()
    it.signal("inventory-1", signal.SIGSTOP)
    it.signal("fulfilment-1", signal.SIGSTOP)
    for product in products:
        it.expect(200, "DELETE", f"/orders/{product}-cancel")
        it.expect(201, "POST", f"/orders/{product}-ship/shipments", {})
        it.expect(200, "DELETE", f"/orders/{product}-unship/shipments/s")
        it.expect(200, "POST", f"/orders/{product}-back/returns/r/receive", {})
        it.expect(201, "POST", "/orders", undone(f"{product}-new", (product, 1)))
    it.quiet("inventory", "fulfilment")
    it.signal("orders-0", signal.SIGSTOP)
    for product in products:
        it.expect(202, "POST", f"/inventory/{product}/receive", {"quantity": 100}, Prefer="respond-async")
        it.expect(202, "POST", f"/orders/{product}-waits/hold", {"reason": "undecided"}, Prefer="respond-async",
                  Idempotency_Key=f"{product}-undecided")  # fmt: skip
    it.quiet("inventory", "fulfilment", "orders")
    for group, topic in (("orders", "order-commands"), ("inventory", "inventory-commands")):
        it.wait(lambda g=group, t=topic: it.backlog(g, t) > len(products), f"undecided commands on {topic}")
    for topic in ("order-events", "inventory-events"):
        it.wait(lambda t=topic: it.backlog("fulfilment", t) > 0, f"events on {topic} that led to nothing yet")
