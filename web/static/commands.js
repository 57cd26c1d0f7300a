/* Dialogs for the commands of orders and products. */
import { id, send } from "./api.js";
import { ask } from "./forms.js";
import { units } from "./format.js";

const changed = () => dispatchEvent(new Event("changed"));
const order = (key) => `/orders/${id(key)}`;
const product = (key) => `/inventory/${id(key)}`;
const POLICIES = [["BACKORDER", "Wait for stock"], ["PARTIAL", "Ship the available units"], ["ALL_OR_NOTHING", "All or nothing"]];
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
    { name: "policy", label: "When stock is short", options: POLICIES },
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
export const release = (key, hold) => done("DELETE", hold ? `${order(key)}/holds/${id(hold)}` : `${order(key)}/hold`, undefined, "The hold has ended.");
export const cancel = (key) => ask(`Cancel ${key}`, [REASON], "Cancel order", (body) => done("DELETE", order(key), body, "All units that had not shipped are cancelled."), "All units that have not shipped are cancelled, and their stock is released.");
export function ship(key, places = []) {
  const from = places.length ? [{ name: "location", label: "From", wide: true, options: places.map((place) => [place, place]) }] : [];
  ask(`Ship ${key}`, [...from, { name: "carrier", label: "Carrier" }, { name: "trackingNumber", label: "Tracking number" }], "Ship", (body) => done("POST", `${order(key)}/shipments`, body, "Shipped."),
    places.length > 1 ? "All units that are allocated there go into one shipment." : "All allocated units go into one shipment.");
}
export const deliver = (key, shipment) => done("POST", `${order(key)}/shipments/${id(shipment)}/deliver`, {}, "Delivered.");
export const takeBack = (key, shipment) => done("DELETE", `${order(key)}/shipments/${id(shipment)}`, undefined, "The shipment is cancelled, and its units are allocated again.");
export const closeShipment = (key, shipment) => ask(`Close ${shipment}`, [{ name: "rest", label: "Lost units", options: [["RESEND", "Send them again"], ["WRITE_OFF", "Write them off"]] }, REASON], "Close shipment", (body) => done("POST", `${order(key)}/shipments/${id(shipment)}/close`, body, "The shipment is closed."), "All units that were not delivered are lost.");
export const addLine = (key, currency) => ask(`Add a line to ${key}`, [
  { name: "productId", label: "Product" },
  { name: "quantity", label: "Quantity", type: "number", min: 1, value: "1" },
  { name: "price", label: "Price of one", value: "10.00", hint: `in ${currency}` },
], "Add line", (body) => done("POST", `${order(key)}/lines`, { ...body, currency }, "The line is added."));
export const changeAddress = (key, old) => ask(`Address of ${key}`, ["street", "city", "state", "zipCode", "country"].map((name) => ({ name, label: name === "zipCode" ? "Zip code" : name[0].toUpperCase() + name.slice(1), value: old[name] ?? "", covers: [`shippingAddress.${name}`] })),
  "Change address", (body) => done("PUT", `${order(key)}/shipping-address`, { shippingAddress: { ...kept(old), ...body } }, "The address is changed."), "All units that have not shipped go there.");
const kept = (address) => (typeof address === "string" || address.erased ? {} : Object.fromEntries(Object.entries(address).filter(([name]) => name !== "state")));
export const changePolicy = (key) => ask(`Policy of ${key}`, [{ name: "policy", label: "When stock is short", options: POLICIES }], "Change policy", (body) => done("PUT", `${order(key)}/policy`, body, "The policy is changed."), "If the new policy does not allow waiting, units that wait for stock are cancelled.");
export const changeLine = (key, line, quantity) => ask(`Line ${line.lineId} of ${key}`, [
  { name: "quantity", label: "Quantity", type: "number", min: 0, value: String(quantity) },
], "Change quantity", (body) => done("PUT", `${order(key)}/lines/${id(line.lineId)}/quantity`, body, "The quantity is changed."), "Units that have shipped stay.");
export const replaceProduct = (key, line) => ask(`Replace ${line.productId}`, [{ name: "productId", label: "Product" }], "Replace", (body) => done("POST", `${order(key)}/lines/${id(line.lineId)}/replace`, body, "The product is replaced."), "All units that have not shipped are replaced, at the same price.");
export const receiveReturn = (key, returned) => done("POST", `${order(key)}/returns/${id(returned)}/receive`, {}, "The return is counted in.");
export function requestReturn(key, lines) {
  ask(`Return of ${key}`, [
    { name: "lineId", label: "Line", options: lines.map((line) => [line.lineId, `${line.lineId} · ${line.productId}`]), covers: ["lines.0.lineId"] },
    { name: "quantity", label: "Quantity", type: "number", min: 1, value: "1", covers: ["lines.0.quantity"] }, REASON,
  ], "Announce return", ({ lineId, quantity, reason }) => done("POST", `${order(key)}/returns`, { lines: [{ lineId, quantity }], reason }, "The return is announced."));
}

const QUANTITY = { name: "quantity", label: "Units", type: "number", min: 1, value: "10" };
const LOCATION = { name: "location", label: "Location", hint: "empty: default" };
/** Return the field for a location: one of `places`, if the product has several. */
const at = (places, name = "location", label = "Location", value = places[0]) => ({ ...LOCATION, name, label, ...(places.length ? { options: places.map((place) => [place, place]), value, hint: undefined } : {}) });
export const receive = (key, place = "") => ask(`Receive ${key}`, [QUANTITY, { ...LOCATION, value: place }], "Receive", (body) => done("POST", `${product(key)}/receive`, body, "The stock is received."));
export const adjust = (key, places = []) => ask(`Adjust ${key}`, [{ name: "delta", label: "Change in units", type: "number", value: "-1" }, ...(places.length ? [at(places)] : []), REASON], "Adjust", (body) => done("POST", `${product(key)}/adjust`, body, "The stock is corrected."));
export const countStock = (key, onHand, place) => ask(place ? `Count ${key} at ${place}` : `Count ${key}`, [{ name: "quantity", label: "Units on hand", type: "number", min: 0, value: String(onHand) }, REASON], "Record", async (body) => {
  const { returnedToWaiting: lost = [] } = await send("POST", `${product(key)}/count`, place ? { ...body, location: place } : body);
  changed();
  return lost.length ? `The count is recorded. ${units(lost.length, "reservation waits", "reservations wait")} again.` : "The count is recorded.";
});
export const transfer = (key, places) => ask(`Transfer ${key}`, [{ name: "quantity", label: "Units", type: "number", min: 1, value: "1" }, at(places, "source", "From"), { name: "target", label: "To", value: places.length > 1 ? places[1] : "" }, { name: "transferId", label: "Transfer id", hint: "empty: generated" }],
  "Send", (body) => done("POST", `${product(key)}/transfers`, { ...body, transferId: body.transferId ?? crypto.randomUUID() }, "The units are in transit."), "They are in transit until they are received.");
export const receiveTransfer = (key, { transferId, quantity }) => ask(`Receive ${transferId}`, [{ name: "quantity", label: "Units", type: "number", min: 0, max: quantity, value: String(quantity) }], "Receive", (body) => done("POST", `${product(key)}/transfers/${id(transferId)}/receive`, body, "The transfer is received."), "Units that are missing are lost.");
export const closeLocation = (key, place) => ask(`Close ${place}`, [REASON], "Close location", (body) => done("POST", `${product(key)}/locations/${id(place)}/close`, body, "The location is closed."), "Lines get no more units from it, and those it holds are reserved elsewhere or waited for.");
export const openLocation = (key, place) => done("POST", `${product(key)}/locations/${id(place)}/open`, undefined, "The location is open.");
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

const hook = (key) => `/webhooks/${id(key)}`;
export const pauseHook = (key) => done("POST", `${hook(key)}/pause`, undefined, "Deliveries are paused; nothing is lost.");
export const resumeHook = (key) => done("POST", `${hook(key)}/resume`, undefined, "Deliveries continue where they stopped.");
export const replayHook = (key) => ask("Replay deliveries", [{ name: "from", label: "From", type: "datetime-local", wide: true, hint: "all events since then are sent again" }], "Replay",
  ({ from }) => done("POST", `${hook(key)}/replay`, from ? { from: new Date(from).toISOString() } : {}, "Deliveries start again."));
