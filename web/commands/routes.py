"""The paths of commands, as a table; the OpenAPI document is generated from it."""

from domain.inventory import commands as stock
from domain.orders import commands as order

from .bodies import GiveBackRequest, OrderRequest, ReserveRequest
from .change_bodies import AddLineRequest, ChangeQuantityRequest, ReplaceProductRequest
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
LINE = f"{ONE}/lines/{{lineId}}"
PRODUCT = "/inventory/{productId}"

COMMAND_ROUTES: tuple[CommandRoute, ...] = (
    PlaceOrderRoute("POST", "/orders", order.PlaceOrder, "Place an order", ORDER, 201, OrderRequest),
    CommandRoute("DELETE", ONE, order.CancelOrder, "Cancel all units that have not shipped",
                 {"reason": "changed my mind"}),
    CommandRoute("PUT", f"{ONE}/status", order.UpdateStatus, "Ship, deliver or cancel the remaining units",
                 {"status": "SHIPPED"}),
    CommandRoute("POST", f"{ONE}/hold", order.Hold, "Prevent the order from shipping", {"reason": "fraud check"}),
    CommandRoute("DELETE", f"{ONE}/hold", order.Release, "End the hold; refused if there are several"),
    CommandRoute("DELETE", f"{ONE}/holds/{{holdId}}", order.Release, "End one of several holds"),
    CommandRoute("PUT", f"{ONE}/shipping-address", order.ChangeShippingAddress,
                 "Send everything that has not shipped to another address",
                 {"shippingAddress": {**ADDRESS, "street": "2 Low Street"}}),
    CommandRoute("PUT", f"{ONE}/policy", order.ChangePolicy, "Change what happens when stock is short",
                 {"policy": "PARTIAL"}),
    CommandRoute("POST", f"{ONE}/lines", order.AddLine, "Add a line",
                 {"productId": "socks", "quantity": 1, "price": 4.99}, 201, AddLineRequest),
    CommandRoute("PUT", f"{LINE}/quantity", order.ChangeQuantity, "Raise or lower the quantity of a line",
                 {"quantity": 3}, body=ChangeQuantityRequest),
    CommandRoute("POST", f"{LINE}/replace", order.ReplaceProduct,
                 "Replace the unshipped units of a line with another product", {"productId": "shoes"},
                 201, ReplaceProductRequest),
    CommandRoute("POST", f"{ONE}/lines/cancel", order.CancelLines, "Cancel some of the units that have not shipped",
                 LINES),
    CommandRoute("POST", f"{ONE}/shipments", order.CreateShipment, "Ship allocated units; without lines, all of them",
                 {"carrier": "DHL", "trackingNumber": "JD0001"}, 201),
    CommandRoute("POST", f"{SHIPMENT}/deliver", order.DeliverShipment,
                 "Record a delivery; with lines, of part of the shipment", {}),
    CommandRoute("POST", f"{SHIPMENT}/close", order.CloseShipment,
                 "Close a shipment that lost units; `rest` is RESEND or WRITE_OFF",
                 {"rest": "RESEND", "reason": "the carrier lost a parcel"}),
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
    CommandRoute("POST", f"{PRODUCT}/count", stock.CountStock,
                 "Record a count of the units on hand; if too few, the newest reservations return to waiting",
                 {"quantity": 9, "reason": "stocktaking"}),
    CommandRoute("POST", f"{PRODUCT}/transfers", stock.TransferStock,
                 "Send units to another location; they are in transit until they are received",
                 {"transferId": "transfer-1", "source": "default", "target": "berlin", "quantity": 4}),
    CommandRoute("POST", f"{PRODUCT}/transfers/{{transferId}}/receive", stock.ReceiveTransfer,
                 "Receive a transfer; with fewer units, the others are lost", {"quantity": 4}),
    CommandRoute("POST", f"{PRODUCT}/locations/{{location}}/open", stock.OpenLocation,
                 "Open a location, so that lines get units from it"),
    CommandRoute("POST", f"{PRODUCT}/locations/{{location}}/close", stock.CloseLocation,
                 "Close a location, and reserve elsewhere what it holds",
                 {"reason": "stocktaking"}),
    CommandRoute("POST", f"{PRODUCT}/allocate", stock.ReserveStock, "Reserve units for an order outside its lines",
                 {"orderId": "order-1", "quantity": 1}, body=ReserveRequest),
    CommandRoute("POST", f"{PRODUCT}/return", stock.ReleaseStock, "Release units of such a reservation",
                 {"orderId": "order-1", "quantity": 1}, body=GiveBackRequest),
    CommandRoute("POST", f"{PRODUCT}/discontinue", stock.DiscontinueProduct, "Refuse new reservations",
                 {"reason": "end of line"}),
    CommandRoute("POST", f"{PRODUCT}/reactivate", stock.ReactivateProduct, "Accept reservations again"),
)  # fmt: skip
