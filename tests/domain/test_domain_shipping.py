"""Shipments, their delivery, and returns."""

from domain_scenarios import ALL_OR_NOTHING, OrderScenario, new, place, record, some
from msgspec.structs import replace

from domain.errors import (
    AllocationPending,
    InvalidQuantity,
    LineNotFound,
    MoreThanDelivered,
    MoreThanShipped,
    NotAllocated,
    OrderOnHold,
    ReturnAlreadyReceived,
    ReturnNotFound,
    ShipmentAlreadyDelivered,
    ShipmentIsCancelled,
    ShipmentNotFound,
)
from domain.orders.commands import (
    CancelShipment,
    CountedLine,
    CreateShipment,
    DeliverShipment,
    Hold,
    ReceiveReturn,
    RequestReturn,
    identified,
)
from domain.orders.events import (
    DeliveredLine,
    ReceivedLine,
    ReturnLine,
    ReturnReceived,
    ReturnRequested,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShippedLine,
)

given = OrderScenario
TWO = place(new(quantity=3), new("socks"))
ALLOCATED = (TWO, record(reserved=3), record("socks", reserved=2))
SHIPPED = (*ALLOCATED, CreateShipment(shipment_id="s"))
DELIVERED = (*SHIPPED, DeliverShipment(shipment_id="s"))
RECEIPT = identified(ReceiveReturn(return_id="r"), "c-1").receipt_id  # type: ignore[union-attr]


def boots(quantity: int, shipped: int) -> ShippedLine:
    return ShippedLine(line_id="1", product_id="boots", quantity=quantity, shipped=shipped)


def socks(quantity: int, shipped: int) -> ShippedLine:
    return ShippedLine(line_id="2", product_id="socks", quantity=quantity, shipped=shipped)


def test_all_allocated_units_ship() -> None:
    scenario = given(*ALLOCATED).when(CreateShipment(shipment_id="s", carrier="DHL", tracking_number="1Z"))
    lines = boots(3, 3), socks(2, 2)
    sent = {"carrier": "DHL", "tracking_number": "1Z", "all_allocated": True}
    scenario.then(ShipmentCreated(shipment_id="s", lines=lines, **sent))
    scenario.asked_again().then_quiet()
    assert scenario.order is not None
    assert scenario.order.status == "SHIPPED"


def test_part_of_the_allocated_units_ship() -> None:
    scenario = given(TWO, record(reserved=3)).when(CreateShipment(shipment_id="s", lines=some(boots=1)))
    scenario.then(ShipmentCreated(shipment_id="s", lines=(boots(1, 1),), all_allocated=False))
    scenario.when(CreateShipment(shipment_id="t", lines=some(boots=2)))
    scenario.then(ShipmentCreated(shipment_id="t", lines=(boots(2, 3),), all_allocated=False))


def test_a_shipment_without_id_gets_the_same_one_each_time() -> None:
    scenario = given(*ALLOCATED).when(CreateShipment(lines=some(boots=1))).then_types(ShipmentCreated)
    assert scenario.events[0].shipment_id
    scenario.asked_again().then_quiet()


def test_lines_that_are_still_pending_are_named_in_order() -> None:
    assert AllocationPending(lines=["1", "2"]).message.startswith("stock for the lines 1, 2 is still being allocated")


def test_a_second_shipment_counts_the_units_of_the_first() -> None:
    scenario = given(*ALLOCATED, CreateShipment(shipment_id="s", lines=some(boots=1)))
    scenario.when(CreateShipment(shipment_id="t", lines=some(boots=1)))
    scenario.then_types(ShipmentCreated)
    assert scenario.events[0].lines == (boots(1, 2),)
    assert (scenario.line().allocated, scenario.line().shipped) == (1, 2)


def test_nothing_ships_before_stock_has_answered() -> None:
    pending = given(TWO, record(reserved=3))
    pending.when(CreateShipment()).then_rejected(AllocationPending, lines=["2"])
    pending.when(CreateShipment(lines=some(socks=1))).then_rejected(AllocationPending, lines=["2"])
    whole = given(replace(TWO, policy=ALL_OR_NOTHING), record(reserved=3))
    whole.when(CreateShipment(lines=some(boots=1))).then_rejected(AllocationPending, lines=["2"])


def test_no_more_units_ship_than_are_allocated() -> None:
    short = given(TWO, record(reserved=1, backordered=2), record("socks", backordered=2))
    asked = CreateShipment(lines=some(boots=2))
    short.when(asked).then_rejected(NotAllocated, lineId="1", asked=2, allocated=1)
    short.when(CreateShipment(lines=some(gloves=2))).then_rejected(LineNotFound, lineId="9")
    short.when(CreateShipment()).then_types(ShipmentCreated)
    short.when(CreateShipment(shipment_id="t")).then_rejected(NotAllocated, lineId="1", asked=2, allocated=0)


def test_an_order_that_has_shipped_whole_has_nothing_left_to_ship() -> None:
    shipped = given(place(), record(reserved=2), CreateShipment(shipment_id="s"))
    shipped.when(CreateShipment(shipment_id="t")).then_rejected(NotAllocated, lineId="1", asked=0, allocated=0)


def test_an_order_on_hold_cannot_be_shipped() -> None:
    given(*ALLOCATED, Hold(reason="fraud")).when(CreateShipment()).then_rejected(OrderOnHold, reason="fraud")


def test_a_shipment_is_delivered() -> None:
    scenario = given(*SHIPPED).when(DeliverShipment(shipment_id="s"))
    lines = DeliveredLine(line_id="1", quantity=3, delivered=3), DeliveredLine(line_id="2", quantity=2, delivered=2)
    scenario.then(ShipmentDelivered(shipment_id="s", lines=lines)).asked_again().then_quiet()
    assert scenario.order is not None
    assert (scenario.order.status, scenario.order.shipments[0].status) == ("DELIVERED", "DELIVERED")


def test_a_shipment_is_delivered_in_parts() -> None:
    scenario = given(*SHIPPED).when(DeliverShipment(shipment_id="s", lines=some(boots=2)))
    scenario.then(ShipmentDelivered(shipment_id="s", lines=(DeliveredLine(line_id="1", quantity=2, delivered=2),)))
    assert scenario.order is not None
    assert (scenario.order.status, scenario.order.shipments[0].status) == ("PARTIALLY_DELIVERED",) * 2
    again = scenario.asked_again()
    again.then_rejected(MoreThanShipped, lineId="1", asked=2, undelivered=1)
    rest = DeliveredLine(line_id="1", quantity=1, delivered=3), DeliveredLine(line_id="2", quantity=2, delivered=2)
    scenario.when(DeliverShipment(shipment_id="s")).then(ShipmentDelivered(shipment_id="s", lines=rest))


def test_only_what_a_shipment_carries_is_delivered() -> None:
    one = given(*ALLOCATED, CreateShipment(shipment_id="s", lines=some(boots=1)))
    one.when(DeliverShipment(shipment_id="t")).then_rejected(ShipmentNotFound, shipmentId="t")
    one.when(DeliverShipment(shipment_id="s", lines=some(socks=1))).then_rejected(LineNotFound, lineId="2")


def test_a_cancelled_shipment_returns_its_units() -> None:
    scenario = given(*SHIPPED).when(CancelShipment(shipment_id="s"))
    scenario.then(ShipmentCancelled(shipment_id="s", lines=(boots(3, 0), socks(2, 0)))).asked_again().then_quiet()
    assert (scenario.line().allocated, scenario.line().shipped) == (3, 0)
    scenario.when(DeliverShipment(shipment_id="s")).then_rejected(ShipmentIsCancelled, shipmentId="s")


def test_a_delivered_shipment_cannot_be_cancelled() -> None:
    part = given(*SHIPPED, DeliverShipment(shipment_id="s", lines=some(boots=1)))
    part.when(CancelShipment(shipment_id="s")).then_rejected(ShipmentAlreadyDelivered, shipmentId="s")
    part.when(CancelShipment(shipment_id="t")).then_rejected(ShipmentNotFound, shipmentId="t")


def test_a_return_is_announced() -> None:
    line = ReturnLine(line_id="1", product_id="boots", quantity=2)
    scenario = given(*DELIVERED).when(RequestReturn(return_id="r", lines=some(boots=2), reason="small"))
    scenario.then(ReturnRequested(return_id="r", lines=(line,), reason="small")).asked_again().then_quiet()
    assert scenario.order is not None
    assert scenario.order.return_status == "REQUESTED"
    asked = RequestReturn(return_id="q", lines=some(boots=2))
    scenario.when(asked).then_rejected(MoreThanDelivered, lineId="1", asked=2, returnable=1)
    scenario.when(RequestReturn(return_id="q", lines=some(gloves=2))).then_rejected(LineNotFound, lineId="9")


def test_a_return_without_id_gets_the_same_one_each_time() -> None:
    given(*DELIVERED).when(RequestReturn(lines=some(boots=1))).then_types(ReturnRequested).asked_again().then_quiet()


def test_units_that_were_not_delivered_cannot_be_returned() -> None:
    asked = RequestReturn(lines=some(boots=1))
    given(*SHIPPED).when(asked).then_rejected(MoreThanDelivered, lineId="1", asked=1, returnable=0)


def received(units: int, damaged: int = 0, total: int | None = None, total_damaged: int | None = None) -> ReceivedLine:
    return ReceivedLine(
        line_id="1",
        product_id="boots",
        received=units,
        damaged=damaged,
        total_received=units if total is None else total,
        total_damaged=damaged if total_damaged is None else total_damaged,
    )


def test_a_return_is_counted_in() -> None:
    scenario = given(*DELIVERED, RequestReturn(return_id="r", lines=some(boots=2))).when(ReceiveReturn(return_id="r"))
    scenario.then(ReturnReceived(return_id="r", lines=(received(2),), receipt_id=RECEIPT)).asked_again().then_quiet()
    assert scenario.order is not None
    assert scenario.order.return_status == "PARTIALLY_RETURNED"
    again = RequestReturn(return_id="q", lines=some(boots=2))
    scenario.when(again).then_rejected(MoreThanDelivered, lineId="1", asked=2, returnable=1)
    rest = RequestReturn(return_id="q", lines=some(boots=1, socks=2))
    whole = given(*DELIVERED, RequestReturn(return_id="r", lines=some(boots=2)), ReceiveReturn(return_id="r"), rest)
    whole.when(ReceiveReturn(return_id="q")).then_types(ReturnReceived)
    assert whole.order is not None
    assert whole.order.return_status == "RETURNED"


def test_units_that_did_not_arrive_can_be_announced_again() -> None:
    counted = (CountedLine(line_id="1", received=1, damaged=1),)
    scenario = given(*DELIVERED, RequestReturn(return_id="r", lines=some(boots=3)))
    scenario.when(ReceiveReturn(return_id="r", lines=counted))
    scenario.then(ReturnReceived(return_id="r", lines=(received(1, 1),), receipt_id=RECEIPT))
    scenario.when(RequestReturn(return_id="q", lines=some(boots=2))).then_types(ReturnRequested)
    scenario.when(ReceiveReturn(return_id="q"))
    scenario.then(ReturnReceived(return_id="q", lines=(received(2, 0, 3, 1),), receipt_id=RECEIPT))


def test_no_more_units_are_returned_than_were_announced() -> None:
    scenario = given(*DELIVERED, RequestReturn(return_id="r", lines=some(boots=2)))
    scenario.when(ReceiveReturn(return_id="q")).then_rejected(ReturnNotFound, returnId="q")
    damaged = {"reason": "line 1: 2 units damaged, 1 received"}
    counts = (
        (CountedLine(line_id="1", received=3), MoreThanDelivered, {"lineId": "1", "asked": 3, "returnable": 2}),
        (CountedLine(line_id="2", received=1), LineNotFound, {"lineId": "2"}),
        (CountedLine(line_id="1", received=1, damaged=2), InvalidQuantity, damaged),
    )
    for line, kind, details in counts:
        scenario.when(ReceiveReturn(return_id="r", lines=(line,))).then_rejected(kind, **details)


def test_units_of_a_line_that_is_counted_twice_are_added_up() -> None:
    one = CountedLine(line_id="1", received=1, damaged=1)
    scenario = given(*DELIVERED, RequestReturn(return_id="r", lines=some(boots=2)))
    scenario.when(ReceiveReturn(return_id="r", lines=(one, one)))
    scenario.then(ReturnReceived(return_id="r", lines=(received(2, 2),), receipt_id=RECEIPT))


def parcel(receipt_id: str, units: int, damaged: int = 0) -> ReceiveReturn:
    lines = (CountedLine(line_id="1", received=units, damaged=damaged),)
    return ReceiveReturn(return_id="r", receipt_id=receipt_id, lines=lines)


def test_a_return_arrives_in_several_parcels() -> None:
    scenario = given(*DELIVERED, RequestReturn(return_id="r", lines=some(boots=3, socks=1))).when(parcel("p1", 1))
    scenario.then(ReturnReceived(return_id="r", lines=(received(1),), receipt_id="p1"))
    scenario.when(parcel("p2", 1, 1))
    scenario.then(ReturnReceived(return_id="r", lines=(received(1, 1, 2, 1),), receipt_id="p2"))
    for repeat in (parcel("p1", 1), parcel("p2", 1, 1)):
        scenario.when(repeat).then_quiet()
    scenario.when(parcel("p1", 1, 1))
    assert isinstance(scenario.refusal, ReturnAlreadyReceived)
    scenario.when(parcel("p3", 2)).then_rejected(MoreThanDelivered, lineId="1", asked=2, returnable=1)
    scenario.when(parcel("p3", 0)).then_quiet()
    scenario.when(ReceiveReturn(return_id="r", receipt_id="p4"))
    rest = (received(1, 0, 3, 1), replace(received(1), line_id="2", product_id="socks"))
    scenario.then(ReturnReceived(return_id="r", lines=rest, receipt_id="p4")).asked_again().then_quiet()
    scenario.when(parcel("p5", 1, 1)).then_quiet()  # all has arrived, and this is how one of the parcels did
    scenario.when(parcel("p5", 2))
    assert isinstance(scenario.refusal, ReturnAlreadyReceived)


def test_a_late_parcel_has_no_units_of_another_return() -> None:
    returns = RequestReturn(return_id="r", lines=some(boots=3)), parcel("p1", 1), RequestReturn(lines=some(boots=1))
    scenario = given(*DELIVERED, *returns).when(parcel("p2", 2))
    scenario.then_rejected(MoreThanDelivered, lineId="1", asked=2, returnable=1)


def test_another_parcel_of_a_return_that_older_code_received_is_counted() -> None:
    older = ReturnReceived(return_id="r", lines=(received(1),))
    scenario = given(*DELIVERED, RequestReturn(return_id="r", lines=some(boots=2)), older).when(parcel("p2", 1))
    scenario.then(ReturnReceived(return_id="r", lines=(received(1, 0, 2),), receipt_id="p2"))
