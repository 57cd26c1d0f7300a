/* The stages of orders: how many orders are in each, and how many entered it recently. */
import { h } from "../dom.js";
import { count, units } from "../format.js";
import { lately } from "./lately.js";

export const waiting = ({ byAllocation }) => byAllocation.BACKORDERED + byAllocation.PARTIALLY_ALLOCATED;
export const underWay = ({ byStatus }) => byStatus.SHIPPED + byStatus.PARTIALLY_SHIPPED + byStatus.PARTIALLY_DELIVERED;

const status = (name) => `#/orders?status=${name}`;
const stock = (name) => `#/orders?allocationStatus=${name}`;

/** Return the stages as [name, event that leads to it, verb, parts]; parts are [orders, label, link to their list]. */
const stages = ({ byStatus, byAllocation, pickable }) => [
  ["Being allocated", "OrderPlaced", "placed", [[byAllocation.PENDING, "", stock("PENDING")]]],
  ["Waiting for stock", "StockBackordered", "lines", [[byAllocation.BACKORDERED, "with nothing yet", stock("BACKORDERED")], [byAllocation.PARTIALLY_ALLOCATED, "with a part", stock("PARTIALLY_ALLOCATED")]]],
  ["Ready to ship", "StockReserved", "lines", [[pickable, "", "#/work"]]],
  ["In transit", "ShipmentCreated", "shipped", [[byStatus.SHIPPED, "shipped", status("SHIPPED")], [byStatus.PARTIALLY_SHIPPED, "shipped in part", status("PARTIALLY_SHIPPED")], [byStatus.PARTIALLY_DELIVERED, "delivered in part", status("PARTIALLY_DELIVERED")]]],
  ["Delivered", "ShipmentDelivered", "delivered", [[byStatus.DELIVERED, "", status("DELIVERED")]]],
];

export function flow({ orders }, rates) {
  return [h("div.flow", {}, stages(orders).map((each) => stage(each, Math.max(orders.total, 1), rates))),
    h("div.aside", {}, h("span", {}, h("strong", {}, count(orders.onHold)), " on hold"), h("a", { href: status("CANCELLED") }, h("strong", {}, count(orders.byStatus.CANCELLED)), " cancelled"), h("span", {}, h("strong", {}, count(orders.total)), " in all"))];
}

function stage([name, type, verb, parts], most, rates) {
  const value = parts.reduce((sum, [orders]) => sum + orders, 0);
  const some = parts.filter(([orders]) => orders > 0);
  const alone = some.length > 1 ? null : (some[0] ?? parts[0])[2]; // a number links to the list of exactly these orders
  return h(alone ? "a.stage" : "div.stage", { href: alone, class: name === "Waiting for stock" && value ? "warn" : "" },
    h("span.stage-count", {}, count(value)), h("span.stage-name", {}, name), h("span.stage-bar", {}, h("i", { style: { width: `${(value / most) * 100}%` }, class: value ? "some" : "" })),
    h("span.stage-rate", {}, moved(rates, type, verb)), alone ? "" : h("span.stage-parts", {}, some.map(([orders, what, href]) => h("a", { href }, `${count(orders)} ${what}`))));
}

function moved(rates, type, verb) {
  const { seconds, events } = rates ? lately(rates) : { seconds: 0 };
  if (!seconds) return "";
  const many = events(type), span = seconds < 60 ? `${seconds} s` : "minute";
  return many ? `${verb === "lines" ? units(many, "line") : `${count(many)} ${verb}`} in the last ${span}` : `none in the last ${span}`;
}
