"""The paths of commands, as a table; the OpenAPI document is generated from it."""

from domain.inventory import commands as stock
from domain.orders import commands as order

from .bodies import GiveBackRequest, OrderRequest, ReserveRequest
from .handling import CommandRoute, PlaceOrderRoute

ADDRESS = {"street": "1 High Street", "city": "Dublin", "state": "Leinster", "zipCode": "D01", "country": "IE"}
ORDER = {
    "customerId": "customer-1",
    "items": [
        {"productId": "boots", "quantity": 2, "price": 19.99},
        {"productId": "laces", "quantity": 1, "price": "2.50"},
    ],
    "shippingAddress": ADDRESS,
    "billingAddress": ADDRESS,
    "totalCost": "42.48",
    "issuedAt": "2026-11-23T10:00:00.000Z",
}
LINES = {"lines": [{"lineId": "1", "quantity": 1}]}
ENVELOPE = {"type": "SetStock", "data": {"productId": "boots", "quantity": 100}}
ONE = "/orders/{orderId}"
SHIPMENT = f"{ONE}/shipments/{{shipmentId}}"
PRODUCT = "/inventory/{productId}"

COMMAND_ROUTES: tuple[CommandRoute, ...] = (
    PlaceOrderRoute("POST", "/orders", order.PlaceOrder, "Place an order", ORDER, 201, OrderRequest),
    CommandRoute("DELETE", ONE, order.CancelOrder, "Cancel all units that have not shipped",
                 {"reason": "changed my mind"}),
    CommandRoute("PUT", f"{ONE}/status", order.UpdateStatus, "Ship, deliver or cancel the remaining units",
                 {"status": "SHIPPED"}),
    CommandRoute("POST", f"{ONE}/hold", order.Hold, "Prevent the order from shipping", {"reason": "fraud check"}),
    CommandRoute("DELETE", f"{ONE}/hold", order.Release, "End the hold"),
    CommandRoute("POST", f"{ONE}/lines/cancel", order.CancelLines, "Cancel some of the units that have not shipped",
                 LINES),
    CommandRoute("POST", f"{ONE}/shipments", order.CreateShipment, "Ship allocated units; without lines, all of them",
                 {"carrier": "DHL", "trackingNumber": "JD0001"}, 201),
    CommandRoute("POST", f"{SHIPMENT}/deliver", order.DeliverShipment,
                 "Record a delivery; with lines, of part of the shipment", {}),
    CommandRoute("DELETE", SHIPMENT, order.CancelShipment, "Cancel a shipment and put its units back on the shelf"),
    CommandRoute("POST", f"{ONE}/returns", order.RequestReturn, "Announce a return",
                 {**LINES, "reason": "too small"}, 201),
    CommandRoute("POST", f"{ONE}/returns/{{returnId}}/receive", order.ReceiveReturn,
                 "Record the units received of a return",
                 {"lines": [{"lineId": "1", "received": 1, "damaged": 0}]}),
    CommandRoute("PUT", PRODUCT, stock.SetStock, "Set the available quantity, then serve waiting lines",
                 {"quantity": 100}),
    CommandRoute("POST", f"{PRODUCT}/receive", stock.ReceiveStock, "Add delivered units to the stock",
                 {"quantity": 10}),
    CommandRoute("POST", f"{PRODUCT}/adjust", stock.AdjustStock, "Correct the quantity on hand",
                 {"delta": -1, "reason": "broken"}),
    CommandRoute("POST", f"{PRODUCT}/allocate", stock.ReserveStock, "Reserve units for an order outside its lines",
                 {"orderId": "order-1", "quantity": 1}, body=ReserveRequest),
    CommandRoute("POST", f"{PRODUCT}/return", stock.ReleaseStock, "Release units of such a reservation",
                 {"orderId": "order-1", "quantity": 1}, body=GiveBackRequest),
    CommandRoute("POST", f"{PRODUCT}/discontinue", stock.DiscontinueProduct, "Refuse new reservations",
                 {"reason": "end of line"}),
    CommandRoute("POST", f"{PRODUCT}/reactivate", stock.ReactivateProduct, "Accept reservations again"),
)  # fmt: skip
