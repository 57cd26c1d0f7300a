/* What goes on: how many orders are where, how fast they move, what is short, and whether the pipeline is well. */
import { get, id } from "../api.js";
import { chart } from "../chart.js";
import { fill, h } from "../dom.js";
import { card, count, milliseconds, orderLink, productLink, sentence, table, tag, units, when } from "../format.js";
import { listen } from "../live.js";
import { every } from "../views.js";

const MINUTE = 12; // steps of 5 seconds
const KEPT = 60;

export default async function overview(page, _, signal) {
  const parts = Object.fromEntries(["lead", "flow", "throughput", "latency", "short", "roles", "events"].map((name) => [name, h("div")]));
  const known = { rates: null, summary: null, pipeline: null };
  const draw = () => { lead(parts.lead, known); if (known.summary) flow(parts.flow, known.summary, known.rates); };
  await every(2000, signal, async () => { known.summary = await get("/summary", signal); draw(); fill(parts.short, short(known.summary.products.short)); });
  fill(page, h("h1.hidden", {}, "Overview"), parts.lead,
    card("w12", "Orders", h("a", { href: "#/orders" }, "all orders"), parts.flow),
    h("div.columns", {},
      card("w4", "Events a second", "last 15 minutes", h("div.body", {}, parts.throughput)),
      card("w4", "From command to log", "last 15 minutes", h("div.body", {}, parts.latency)),
      card("w4", "Short", h("a", { href: "#/inventory" }, "inventory"), parts.short),
      card("w7", "Happening now", h("span", { id: "live" }, "connecting …"), parts.events),
      card("w5", "Pipeline", h("a", { href: "#/pipeline" }, "details"), parts.roles)));
  every(5000, signal, async () => { known.rates = await get("/rates", signal); draw(); rates(parts, known.rates); }).catch((error) => fill(parts.throughput, h("p.empty", {}, error.message)));
  every(5000, signal, async () => { known.pipeline = await get("/pipeline", signal); draw(); fill(parts.roles, roles(known.pipeline)); }).catch((error) => fill(parts.roles, h("p.empty", {}, error.message)));
  events(parts.events, signal);
}

function lead(place, { summary, pipeline }) {
  if (!summary) return;
  const { orders, products } = summary;
  const open = orders.total - orders.byStatus.DELIVERED - orders.byStatus.CANCELLED;
  const waits = orders.byAllocation.BACKORDERED + orders.byAllocation.PARTIALLY_ALLOCATED;
  const strong = (value) => h("strong", {}, count(value));
  const behind = pipeline?.roles.filter((role) => role.lag > 0 || !role.workers) ?? [];
  fill(place, h("p.lead", {}, strong(open), " of ", strong(orders.total), " orders are open: ", strong(orders.pickable), " ready to ship, ", strong(waits), " waiting for stock, ",
    strong(orders.byStatus.SHIPPED + orders.byStatus.PARTIALLY_SHIPPED + orders.byStatus.PARTIALLY_DELIVERED), " under way. ",
    products.short.length ? [strong(products.short.length), products.short.length === 1 ? " product is short. " : " products are short. "] : "Nothing is short. ",
    pipeline && (behind.length ? `${behind.map((role) => role.role).join(", ")} ${behind.length === 1 ? "is" : "are"} behind.` : "The pipeline is caught up.")));
}

function rate(rates, ...types) {
  if (!rates) return null;
  return rates.steps.slice(-MINUTE - 1, -1).reduce((sum, step) => sum + types.reduce((all, type) => all + (step.events[type] ?? 0), 0), 0);
}

function flow(place, { orders }, rates) {
  const most = Math.max(orders.total, 1);
  const short = orders.byAllocation.BACKORDERED + orders.byAllocation.PARTIALLY_ALLOCATED;
  const transit = orders.byStatus.SHIPPED + orders.byStatus.PARTIALLY_SHIPPED + orders.byStatus.PARTIALLY_DELIVERED;
  const stages = [
    ["Being allocated", orders.byAllocation.PENDING, "#/orders?allocationStatus=PENDING", rate(rates, "OrderPlaced"), "placed"],
    ["Waiting for stock", short, "#/orders?allocationStatus=BACKORDERED", rate(rates, "StockBackordered"), "backordered", short > 0],
    ["Ready to ship", orders.pickable, "#/work", rate(rates, "StockReserved"), "reserved"],
    ["Under way", transit, "#/orders?status=SHIPPED", rate(rates, "ShipmentCreated"), "shipped"],
    ["Delivered", orders.byStatus.DELIVERED, "#/orders?status=DELIVERED", rate(rates, "ShipmentDelivered"), "delivered"],
  ];
  fill(place, h("div.flow", {}, stages.map(([name, value, href, moved, verb, warn]) =>
    h("a.stage", { href, class: warn ? "warn" : "" }, h("span.stage-count", {}, count(value)), h("span.stage-name", {}, name),
      h("span.stage-bar", {}, h("i", { style: { width: `${Math.sqrt(value / most) * 100}%` } })),
      h("span.stage-rate", {}, moved === null ? "" : moved ? `${count(moved)} ${verb} in the last minute` : "none in the last minute")))),
  h("div.aside", {}, h("span", {}, h("strong", {}, count(orders.onHold)), " on hold"),
    h("a", { href: "#/orders?status=CANCELLED" }, h("strong", {}, count(orders.byStatus.CANCELLED)), " cancelled"),
    h("span", {}, h("strong", {}, count(orders.byStatus.PARTIALLY_SHIPPED)), " shipped in part"),
    h("span", {}, h("strong", {}, count(orders.total)), " in all")));
}

function rates(parts, { steps, stepSeconds }) {
  const seen = steps.slice(0, -1);
  const sums = seen.map((step) => Object.values(step.events).reduce((a, b) => a + b, 0) / stepSeconds);
  const all = chart("Events a second over the last 15 minutes", [sums]);
  const now = sums.slice(-MINUTE).reduce((a, b) => a + b, 0) / MINUTE;
  fill(parts.throughput, h("div.figures", {}, h("div", {}, h("b", {}, now.toFixed(now < 10 ? 1 : 0)), h("span", {}, "last minute")), h("div", {}, h("b", {}, Math.max(...sums).toFixed(0)), h("span", {}, "highest"))), all.element, axis(Math.max(...sums) ? all.most : 0, ""));
  const p50 = seen.map((step) => step.p50), p99 = seen.map((step) => step.p99);
  const both = chart("Milliseconds from command to log, median and 99th percentile, over the last 15 minutes", [p50, p99], { area: false });
  const newest = (values) => values.filter((value) => value !== null).at(-1) ?? null;
  fill(parts.latency, h("div.figures", {}, h("div", {}, h("b", {}, milliseconds(newest(p50))), h("span", {}, h("i.key"), "median")), h("div", {}, h("b", {}, milliseconds(newest(p99))), h("span", {}, h("i.key.second"), "99 of 100"))), both.element, axis(newest(p99) === null ? 0 : both.most, " ms"));
}

const axis = (most, unit) => h("div.axis", {}, h("span", {}, "15 min ago"), h("span", {}, most ? `scale 0–${count(most)}${unit}` : "nothing happened"), h("span", {}, "now"));

function short(products) {
  return table("Products that orders wait for", [["product"], ["waiting", true], ["status"]],
    products.map((product) => [productLink(product.productId), count(product.backorderedQuantity), tag(product.status)]), "Nobody waits for stock.");
}

function roles({ roles: found, parked }) {
  return [h("div.scroll", {}, table("Roles", [["role"], ["workers", true], ["not handled yet", true]], found.map((role) =>
    [h("span.row", {}, h(`i.dot${role.workers ? (role.lag ? ".warn" : "") : ".bad"}`), role.role), role.workers || h("span.tag.bad", {}, "none"), count(role.lag)]), "No roles.")),
  h("div.aside", {}, parked === null ? "The dead letters cannot be read." : parked.letters
    ? h("a", { href: "#/pipeline" }, h("strong", {}, units(parked.letters, "command")), " parked, of ", units(parked.aggregates, "order or product"))
    : "No command is parked.")];
}

async function events(place, signal) {
  const rows = h("ol.events", { "aria-label": "Newest events first", tabindex: "0" });
  const empty = h("p.empty", {}, "Nothing has happened lately.");
  fill(place, empty, rows);
  let waiting = [], drawing = false;
  const draw = () => {
    drawing = false;
    const live = document.getElementById("live");
    waiting.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0)); // partitions are read one after the other
    rows.prepend(...waiting.slice(-KEPT).reverse().map(event));
    waiting = [];
    while (rows.childElementCount > KEPT) rows.lastChild.remove();
    empty.hidden = rows.childElementCount > 0;
    if (live) live.textContent = "live";
  };
  listen({ recent: "30" }, (heard) => { waiting.push(heard); if (!drawing) { drawing = true; setTimeout(draw, 250); } },
    (connected) => { const live = document.getElementById("live"); if (live) live.textContent = connected ? "live" : "reconnecting …"; }, signal);
}

function event(heard) {
  const isOrder = heard.source === "order";
  const { data } = heard;
  const more = isOrder ? data.reason ?? data.carrier ?? "" : data.orderId ?? data.reason ?? "";
  return h("li", {}, when(heard.time, true), h("span", {}, sentence(heard.type)), h("span.what", {}, isOrder ? orderLink(heard.subject) : productLink(heard.subject), more ? ` · ${more}` : ""),
    h("span.small.quiet.mono", { title: `${heard.kafkatopic}, partition ${heard.kafkapartition}, offset ${heard.kafkaoffset}` }, `${heard.kafkapartition}@${heard.kafkaoffset}`));
}
