/* Dialogs for the commands of orders and products. */
import { id, send } from "./api.js";
import { ask } from "./forms.js";

const changed = () => dispatchEvent(new Event("changed"));
const order = (key) => `/orders/${id(key)}`;
const product = (key) => `/inventory/${id(key)}`;
const REASON = { name: "reason", label: "Reason", wide: true };

async function done(method, path, body, text) {
  const data = await send(method, path, body);
  changed();
  return data.status === "pending" ? "Sent, but not decided yet." : text;
}

export function placeOrder(productId = "") {
  ask("Place an order", [
    { name: "productId", label: "Product", value: productId, covers: ["items.0.productId"] },
    { name: "quantity", label: "Quantity", type: "number", min: 1, value: "1", covers: ["items.0.quantity"] },
    { name: "price", label: "Price of one", value: "10.00", hint: "in EUR", covers: ["items.0.price"] },
    { name: "customerId", label: "Customer", value: "dashboard" },
    { name: "orderId", label: "Order id", hint: "empty: generated" },
    { name: "policy", label: "When stock is short", options: [["BACKORDER", "Wait for stock"], ["PARTIAL", "Ship the available units"], ["ALL_OR_NOTHING", "All or nothing"]] },
    { name: "street", label: "Street", value: "1 High Street", covers: ["shippingAddress.street"] },
    { name: "city", label: "City", value: "Dublin", covers: ["shippingAddress.city"] },
    { name: "zipCode", label: "Zip code", value: "D01", covers: ["shippingAddress.zipCode"] },
    { name: "country", label: "Country", value: "IE", covers: ["shippingAddress.country"] },
  ], "Place order", async ({ productId: wanted = "", quantity, price, customerId, orderId, policy, ...address }) => {
    const data = await send("POST", "/orders", { customerId, orderId, policy, items: [{ productId: wanted, quantity, price }], shippingAddress: { state: "", ...address } });
    location.hash = `#/orders/${id(data.id)}`;
    return `Order ${data.id} is placed.`;
  });
}

export const hold = (key) => ask(`Hold ${key}`, [REASON], "Hold", (body) => done("POST", `${order(key)}/hold`, body, "The order is on hold."), "It keeps its stock but does not ship.");
export const release = (key) => done("DELETE", `${order(key)}/hold`, undefined, "The order is released.");
export const cancel = (key) => ask(`Cancel ${key}`, [REASON], "Cancel order", (body) => done("DELETE", order(key), body, "The order is cancelled."), "All units that have not shipped are cancelled, and their stock is released.");
export const ship = (key) => ask(`Ship ${key}`, [{ name: "carrier", label: "Carrier" }, { name: "trackingNumber", label: "Tracking number" }], "Ship", (body) => done("POST", `${order(key)}/shipments`, body, "Shipped."), "All allocated units go into one shipment.");
export const deliver = (key, shipment) => done("POST", `${order(key)}/shipments/${id(shipment)}/deliver`, {}, "Delivered.");
export const takeBack = (key, shipment) => done("DELETE", `${order(key)}/shipments/${id(shipment)}`, undefined, "The shipment is cancelled, and its units are allocated again.");
export const receiveReturn = (key, returned) => done("POST", `${order(key)}/returns/${id(returned)}/receive`, {}, "The return is counted in.");
export function requestReturn(key, lines) {
  ask(`Return of ${key}`, [
    { name: "lineId", label: "Line", options: lines.map((line) => [line.lineId, `${line.lineId} · ${line.productId}`]), covers: ["lines.0.lineId"] },
    { name: "quantity", label: "Quantity", type: "number", min: 1, value: "1", covers: ["lines.0.quantity"] }, REASON,
  ], "Announce return", ({ lineId, quantity, reason }) => done("POST", `${order(key)}/returns`, { lines: [{ lineId, quantity }], reason }, "The return is announced."));
}

const QUANTITY = { name: "quantity", label: "Units", type: "number", min: 1, value: "10" };
export const receive = (key) => ask(`Receive ${key}`, [QUANTITY], "Receive", (body) => done("POST", `${product(key)}/receive`, body, "The stock is received."));
export const adjust = (key) => ask(`Adjust ${key}`, [{ name: "delta", label: "Change in units", type: "number", value: "-1" }, REASON], "Adjust", (body) => done("POST", `${product(key)}/adjust`, body, "The stock is corrected."));
export const discontinue = (key) => ask(`Discontinue ${key}`, [REASON], "Discontinue", (body) => done("POST", `${product(key)}/discontinue`, body, "The product is discontinued."), "It accepts no new reservations; lines that wait for it are cancelled.");
export const reactivate = (key) => done("POST", `${product(key)}/reactivate`, undefined, "The product accepts reservations again.");
export const newProduct = () => ask("Receive stock", [{ name: "productId", label: "Product" }, QUANTITY], "Receive", async ({ productId = "", quantity }) => {
  await send("POST", `${product(productId)}/receive`, { quantity });
  location.hash = `#${product(productId)}`;
  return "The stock is received.";
});
export const retry = async (aggregate, key) => {
  const data = await send("POST", `/letters/${aggregate}/${id(key)}/retry`);
  changed();
  return data.left ? `${data.retried} handled, ${data.left} left: ${data.failed?.message ?? "it failed again"}` : `${data.retried} handled, none left.`;
};
export const discard = (aggregate, key, commandId) => ask(`Discard a letter of ${key}`, [REASON], "Discard", (body) => done("POST", `/letters/${aggregate}/${id(key)}/discard`, { ...body, commandId }, "Discarded."), "Its sender gets a rejected outcome. Later letters wait for a retry.");
