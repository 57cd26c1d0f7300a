/* Orders, filtered, page by page. */
import { get } from "../api.js";
import { fill, h } from "../dom.js";
import { card, count, customerLink, money, orderLink, table, tag, units, when, words } from "../format.js";
import { paged } from "../views.js";

const FILTERS = {
  status: ["", "REGISTERED", "PARTIALLY_SHIPPED", "SHIPPED", "PARTIALLY_DELIVERED", "DELIVERED", "CANCELLED"],
  allocationStatus: ["", "PENDING", "BACKORDERED", "PARTIALLY_ALLOCATED", "ALLOCATED"],
};
const LABELS = { status: "Status", allocationStatus: "Stock", customerId: "Customer" };
const SORTS = { "": "Newest first", createdAt: "Oldest first" };

export default async function orders(page, { query }, signal) {
  const asked = new URLSearchParams([...query].filter(([name, value]) => (name in LABELS || name === "sort") && value));
  const [summary, found] = await Promise.all([get("/summary", signal), paged(`/orders?${asked}`, rows, signal)]);
  const many = howMany(summary.orders, asked);
  fill(page, h("div.title", {}, h("h1", {}, "Orders"), filters(asked)), card("w12", SORTS[asked.get("sort") ?? ""] ?? "Found", many === undefined ? null : units(many, "order"), found));
}

/** Return the number of matching orders, if it is counted. */
function howMany({ total, byStatus, byAllocation }, asked) {
  const wanted = Object.keys(LABELS).filter((name) => asked.has(name));
  if (wanted.length > 1 || wanted[0] === "customerId") return undefined;
  return wanted.length ? { ...byStatus, ...byAllocation }[asked.get(wanted[0])] : total;
}

function filters(asked) {
  const go = (name, value) => {
    if (value) asked.set(name, value); else asked.delete(name);
    if (asked.get("status") === "CANCELLED") asked.delete("allocationStatus"); // no active units that could be allocated
    location.hash = `#/orders?${asked}`;
  };
  const choice = (name) => h("select", { "aria-label": LABELS[name], disabled: name === "allocationStatus" && asked.get("status") === "CANCELLED", onchange: ({ target }) => go(name, target.value) },
    FILTERS[name].map((value) => h("option", { value, selected: value === (asked.get(name) ?? "") }, value ? words(value) : `${LABELS[name]}: any`)));
  const sort = h("select", { "aria-label": "Order", onchange: ({ target }) => go("sort", target.value) }, Object.entries(SORTS).map(([value, text]) => h("option", { value, selected: value === (asked.get("sort") ?? "") }, text)));
  const customer = h("input", { "aria-label": LABELS.customerId, placeholder: "Customer", value: asked.get("customerId") ?? "", onchange: ({ target }) => go("customerId", target.value.trim()) });
  return h("div.row.end", {}, choice("status"), choice("allocationStatus"), customer, sort);
}

function rows(found) {
  return table("Orders", [["order"], ["status"], ["stock"], ["customer"], ["lines", true], ["total", true], ["placed"]], found.map((order) => [
    orderLink(order.id), [tag(order.status), order.hold ? [" ", h("span.tag.warn", {}, "on hold")] : ""], order.status === "CANCELLED" ? "" : tag(order.allocationStatus),
    customerLink(order.customerId), count(order.items.length), money(order.totalCost), when(order.createdAt)]), "No order matches. Place one with the button above, or clear the filters.");
}
