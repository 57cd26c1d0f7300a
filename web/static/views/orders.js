/* Orders, filtered, a page at a time. */
import { fill, h } from "../dom.js";
import { card, count, customerLink, money, orderLink, table, tag, when, words } from "../format.js";
import { paged } from "../views.js";

const FILTERS = {
  status: ["", "REGISTERED", "PARTIALLY_SHIPPED", "SHIPPED", "PARTIALLY_DELIVERED", "DELIVERED", "CANCELLED"],
  allocationStatus: ["", "PENDING", "BACKORDERED", "PARTIALLY_ALLOCATED", "ALLOCATED"],
};
const LABELS = { status: "Status", allocationStatus: "Stock", customerId: "Customer" };

export default async function orders(page, { query }, signal) {
  const asked = new URLSearchParams([...query].filter(([name, value]) => name in LABELS && value));
  const found = await paged(`/orders?limit=50&${asked}`, rows, signal);
  fill(page, h("div.title", {}, h("h1", {}, "Orders"), filters(asked)), card("w12", asked.size ? "Found" : "Newest first", null, found));
}

function filters(asked) {
  const go = (name, value) => {
    if (value) asked.set(name, value); else asked.delete(name);
    location.hash = `#/orders?${asked}`;
  };
  const choice = (name) => h("select", { "aria-label": LABELS[name], onchange: ({ target }) => go(name, target.value) },
    FILTERS[name].map((value) => h("option", { value, selected: value === (asked.get(name) ?? "") }, value ? words(value) : `${LABELS[name]}: any`)));
  const customer = h("input", { "aria-label": LABELS.customerId, placeholder: "Customer", value: asked.get("customerId") ?? "", onchange: ({ target }) => go("customerId", target.value.trim()) });
  return h("div.row.end", {}, choice("status"), choice("allocationStatus"), customer);
}

function rows(found) {
  return table("Orders", [["order"], ["customer"], ["status"], ["stock"], ["lines", true], ["total", true], ["placed"]], found.map((order) => [
    orderLink(order.id), customerLink(order.customerId), [tag(order.status), order.hold ? [" ", h("span.tag.warn", {}, "on hold")] : ""],
    order.status === "CANCELLED" ? "" : tag(order.allocationStatus), count(order.items.length), money(order.totalCost), when(order.createdAt)]), "No order is like this. Place one with the button above, or clear the filters.");
}
