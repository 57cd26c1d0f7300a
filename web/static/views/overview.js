/* The overview: orders by stage, short products, the orders that wait longest, and the health of the pipeline. */
import { get, list } from "../api.js";
import { chart } from "../chart.js";
import { fill, h, renew } from "../dom.js";
import { age, card, clockTime, count, customerLink, milliseconds, orderLink, productLink, table, tag, units } from "../format.js";
import { every } from "../views.js";
import { flow, underWay, waiting } from "./flow.js";
import { happening } from "./happening.js";
import { known, lately } from "./lately.js";

const SHORT = 5; // products listed
const LONGEST = 5; // orders listed

export default async function overview(page, _, signal) {
  const parts = Object.fromEntries(["lead", "flow", "throughput", "latency", "short", "longest", "roles", "events"].map((name) => [name, h("div")]));
  const found = { rates: null, summary: null, pipeline: null };
  const draw = () => { renew(parts.lead, lead(found)); renew(parts.flow, flow(found.summary, found.rates)); };
  await every(2000, signal, async () => { found.summary = await get("/summary", signal); draw(); renew(parts.short, short(found.summary.products)); });
  const failed = (place) => (error) => fill(place, h("p.empty", {}, error.message));
  fill(page, h("h1.hidden", {}, "Overview"), parts.lead,
    card("w12", "Orders", h("a", { href: "#/orders" }, "all orders"), parts.flow),
    h("div.columns.even", {},
      card("w4", "Short", h("a", { href: "#/inventory" }, "inventory"), parts.short),
      card("w4", "Waiting longest", "for stock", parts.longest),
      card("w4", "Pipeline", h("a", { href: "#/pipeline" }, "details"), parts.roles),
      card("w8", "Happening now", h("span", { id: "stream" }, "connecting …"), parts.events),
      card("w4", "Speed", "last 15 minutes", h("div.body", {}, parts.throughput, parts.latency))));
  every(5000, signal, async () => { found.rates = await get("/rates", signal); draw(); rates(parts, found.rates); }).catch(failed(parts.throughput));
  every(5000, signal, async () => { found.pipeline = await get("/pipeline", signal); draw(); renew(parts.roles, roles(found.pipeline)); }).catch(failed(parts.roles));
  every(5000, signal, async () => { renew(parts.longest, longest(waiting(found.summary.orders) ? await waitLongest(signal) : [])); }).catch(failed(parts.longest));
  happening(parts.events, signal);
}

function lead({ summary: { orders, products }, pipeline }) {
  const open = orders.total - orders.byStatus.DELIVERED - orders.byStatus.CANCELLED;
  const strong = (value) => h("strong", {}, count(value));
  return h("p.lead", {}, strong(open), " of ", strong(orders.total), " orders are open: ", strong(orders.pickable), " ready to ship, ", strong(waiting(orders)), " waiting for stock, ",
    strong(underWay(orders)), " in transit, ", strong(orders.onHold), " on hold. ",
    products.shortTotal ? [strong(products.shortTotal), products.shortTotal === 1 ? " product is short. " : " products are short. "] : "Nothing is short. ", pipeline && health(pipeline));
}

function health({ roles: found, parked }) {
  const lag = found.reduce((sum, role) => sum + role.lag, 0);
  const idle = found.filter((role) => !role.workers).map((role) => role.role);
  return [
    idle.length ? [h("strong.wrong", {}, `No worker handles ${idle.join(", ")}.`), " "] : "",
    lag ? [h("strong", {}, count(lag)), lag === 1 ? " message waits to be handled. " : " messages wait to be handled. "] : idle.length ? "" : "The pipeline has caught up. ",
    parked === null ? h("strong.wrong", {}, "The dead letters cannot be read.") : parked.letters ? h("a.wrong", { href: "#/pipeline" }, h("strong.wrong", {}, units(parked.letters, "command"), parked.letters === 1 ? " is parked." : " are parked.")) : "No command is parked.",
  ];
}

function short({ short: products, shortTotal }) {
  const left = shortTotal - SHORT;
  return [table("Products that orders wait for", [["product"], ["units", true], ["status"]],
    products.slice(0, SHORT).map((product) => [productLink(product.productId), count(product.backorderedQuantity), tag(product.status)]), "No product is short."),
  left > 0 ? h("p.rest", {}, h("a", { href: "#/inventory" }, `and ${units(left, "product")} more`)) : ""];
}

/** Return the orders that have waited for stock the longest, whether for all or for a part of their units. */
async function waitLongest(signal) {
  const pages = await Promise.all(["BACKORDERED", "PARTIALLY_ALLOCATED"].map((status) => list(`/orders?allocationStatus=${status}&sort=createdAt&limit=${LONGEST}`, signal)));
  return pages.flatMap((page) => page.data).sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1)).slice(0, LONGEST);
}

function longest(orders) {
  return table("Orders that wait the longest", [["order"], ["customer"], ["for", true]], orders.map((order) => [orderLink(order.id), customerLink(order.customerId), age(order.createdAt)]), "No order waits for stock.");
}

function rates(parts, found) {
  const { steps } = found;
  const sums = steps.slice(0, -1).map((step, place) => (known(found, place) ? Object.values(step.events).reduce((a, b) => a + b, 0) / found.stepSeconds : null));
  const all = chart("Events a second over the last 15 minutes", [sums]);
  const most = Math.max(...sums, 0), { seconds, events } = lately(found), now = seconds ? events() / seconds : 0;
  const since = known(found, 0) ? "15 min ago" : `counted since ${clockTime(found.knownFrom)}`;
  fill(parts.throughput, h("div.figures", {}, h("h3", {}, "Events a second"), figure(count(Number(now.toFixed(now < 10 ? 1 : 0))), seconds < 60 ? `last ${seconds} s` : "last minute"), figure(count(Math.round(most)), "highest")), all.element, axis(since, most && count(all.most)));
  const p50 = steps.slice(0, -1).map((step) => step.p50), p99 = steps.slice(0, -1).map((step) => step.p99);
  const both = chart("Milliseconds from command to log, median and 99th percentile, over the last 15 minutes", [p50, p99], { area: false });
  const newest = (values) => values.filter((value) => value !== null).at(-1) ?? null;
  fill(parts.latency, h("div.figures", {}, h("h3", {}, "Command to log"), figure(milliseconds(newest(p50)), [h("i.key"), "median"]), figure(milliseconds(newest(p99)), [h("i.key.second"), "99 of 100"])), both.element, axis("15 min ago", newest(p99) === null ? 0 : milliseconds(both.most)));
}

const figure = (value, name) => h("div", {}, h("b", {}, value), h("span", {}, name));
const axis = (since, most) => h("div.axis", {}, h("span", {}, since), h("span", {}, most ? `scale 0 to ${most}` : "nothing happened"), h("span", {}, "now"));

function roles({ roles: found, parked }) {
  return [table("Roles", [["role"], ["workers", true], ["backlog", true]], found.map((role) =>
    [h("span.named", {}, h(`i.dot${role.workers ? (role.lag ? ".warn" : "") : ".bad"}`), role.role), role.workers || h("span.tag.bad", {}, "none"), count(role.lag)]), "No roles."),
  h("div.aside", {}, parked === null ? "The dead letters cannot be read." : parked.letters
    ? h("a.wrong", { href: "#/pipeline" }, h("strong.wrong", {}, units(parked.letters, "command")), " parked, of ", units(parked.aggregates, "order or product", "orders or products"))
    : "No command is parked.")];
}
