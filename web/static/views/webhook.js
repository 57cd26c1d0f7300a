/* One webhook: how far it is delivered, what waits for a retry, and the deliveries of the last week. */
import { get, id } from "../api.js";
import { fill, h } from "../dom.js";
import { card, count, orderLink, productLink, table, tag, units, when } from "../format.js";
import { every, paged } from "../views.js";
import { controls, filters, receiver, status } from "./webhooks.js";

const FEW = 20;
const STATUSES = ["", "delivered", "retrying", "parked"];
const TONES = { delivered: "good", retrying: "warn", parked: "bad" };

export default async function webhook(page, { key, query }, signal) {
  const path = `/webhooks/${id(key)}`, wanted = STATUSES.includes(query.get("status")) ? query.get("status") : "";
  let drawn = "", deliveries; // redrawn with as many entries as before
  await every(5000, signal, async () => {
    const found = await get(path, signal);
    if (drawn === JSON.stringify(found)) return;
    deliveries = await paged(`${path}/deliveries${wanted && `?status=${wanted}`}`, rows, signal, { size: FEW, like: deliveries });
    if (signal.aborted) return;
    drawn = JSON.stringify(found);
    const { waiting, waitingFor, lastSuccess } = found.progress;
    fill(page, h("div.title", {}, h("h1", {}, receiver(found.url)), status(found), h("div.row.end", {}, controls(found, ""))), found.reason && h("p.problem", {}, found.reason),
      h("div.columns", {}, h("div.w5", {}, card("w12", "Settings", null, facts(found, lastSuccess)), card("w12", "Waiting for a retry", waiting ? units(waiting, "event") : null, retries(waitingFor))),
        card("w7", "Deliveries", choice(key, wanted), deliveries)));
  });
}

function choice(key, wanted) {
  return h("select", { "aria-label": "Deliveries", onchange: ({ target }) => { location.hash = `#/webhooks/${id(key)}${target.value && `?status=${target.value}`}`; } },
    STATUSES.map((each) => h("option", { value: each, selected: each === wanted }, each || "of the last week")));
}

function facts(hook, lastSuccess) {
  const all = [["id", h("span.mono.small", {}, hook.id)], ["events", hook.types.join(", ") || "all"], ["only for", filters(hook)], ["last success", lastSuccess ? when(lastSuccess) : "none yet"], ["created", when(hook.createdAt)]];
  return h("dl.facts", {}, [...all, ...(hook.description ? [["description", hook.description]] : [])].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function retries(found) {
  return table("Waiting for a retry", [["order or product"], ["events", true], ["attempts", true], ["next"], ["why"]], found.map((each) => [h("span.mono.small", {}, each.aggregateId), count(each.events), count(each.attempts), when(each.nextAttempt), each.error]), "Nothing waits.");
}

function rows(found) {
  const about = (each) => (each.topic === "order-events" ? orderLink : productLink)(each.aggregateId);
  return table("Deliveries", [["event"], ["of"], ["status"], ["attempts", true], ["last attempt"]], found.map((each) => [each.type, about(each), [tag(each.status, TONES[each.status]), each.error && h("div.small.quiet", {}, each.error)], count(each.attempts), when(each.lastAttempt)]), "No deliveries.");
}
