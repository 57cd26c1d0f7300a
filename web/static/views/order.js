/* One order: its state, what it waits for, its history, and its earlier versions. */
import { get, id, list } from "../api.js";
import * as commands from "../commands.js";
import { fill, h } from "../dom.js";
import { show } from "../forms.js";
import { card, count, customerLink, money, productLink, sentence, table, tag, when, words } from "../format.js";
import { follow } from "../sse.js";
import { act } from "../views.js";

const UNITS = ["delivered", "shipped", "allocated", "backordered", "pending", "cancelled"];

export default async function order(page, { key }, signal) {
  let shown = null; // the version shown; null: the current one
  let asked = 0;
  const draw = async () => {
    const turn = ++asked;
    const path = `/orders/${id(key)}`;
    const [now, explained, history, refusals, parked] = await Promise.all([
      get(path, signal), get(`${path}/explain`, signal), list(`${path}/events?limit=500&sort=-sequence`, signal), list(`${path}/refusals?limit=100`, signal), lettersOf(key, signal),
    ]);
    const seen = shown === null ? now : await get(`${path}?version=${shown}`, signal);
    if (turn !== asked || signal.aborted) return now.version;
    const travel = (version) => { shown = version === now.version ? null : version; return draw(); };
    fill(page, head(now), shown === null ? "" : h("p.note", { role: "status" }, `This is version ${shown} of ${now.version}. `, act("Back to the current version", () => travel(now.version), "plain")),
      h("div.columns", {},
        h("div.w7", {}, lines(seen, shown !== null, key), shown === null && explained.reasons.length ? reasons(explained) : "", shipments(seen, key, shown === null), address(seen, shown === null)),
        card("w5", "History", `version ${now.version}`, slider(now, shown, travel), timeline(now, shown, history.data, refusals.data, parked, travel, key))));
    return now.version;
  };
  await draw();
  follow(key, "order", draw, signal);
}

async function lettersOf(key, signal) {
  const { data } = await list(`/letters?aggregate=order&limit=1&cursor=${id(`order/${before(key)}`)}`, signal);
  return data[0]?.aggregateId === key ? get(`/letters/order/${id(key)}`, signal) : null;
}

/** Return the key that sorts just before `key`, so that a list that starts after it begins with `key`, if it has it. */
const before = (key) => key.slice(0, -1) + String.fromCharCode(key.charCodeAt(key.length - 1) - 1) + "\uffff";

function head(order) {
  const { id: key, status } = order;
  const open = !["CANCELLED", "DELIVERED"].includes(status);
  const some = (name) => order.items.some((line) => line[name] > 0);
  const holds = order.holds ?? (order.hold ? [order.hold] : []); // one that older code recorded has no id
  return h("div.title", {}, h("h1.mono", {}, key), tag(status), status !== "CANCELLED" && tag(order.allocationStatus), order.shipBy && h(order.late ? "span.tag.warn" : "span.tag", {}, `${order.late ? "late: " : ""}ship by ${order.shipBy}`), holds.map((hold) => h("span.tag.warn", {}, `on hold: ${hold.reason || "no reason"}${hold.until ? `, until ${hold.until}` : ""}`)),
    h("div.row.end", {},
      some("allocated") && act("Ship", () => commands.ship(key, placesOf(order.items)), "primary"),
      open && holds.map((hold) => act(holds.length > 1 ? `Release: ${hold.reason || "no reason"}` : "Release", () => commands.release(key, hold.holdId))),
      open && act("Hold", () => commands.hold(key)),
      order.items.some((line) => line.delivered > line.returned) && act("Return", () => commands.requestReturn(key, order.items.filter((line) => line.delivered > line.returned))),
      open && act("Cancel", () => commands.cancel(key), "danger")));
}

function lines(order, past, key) {
  const base = (line) => line.partOf ?? line.lineId;
  const ordered = (line) => order.items.filter((other) => base(other) === base(line)).reduce((sum, other) => sum + other.quantity - other.cancelled - (other.lost ?? 0), 0);
  const changeable = !past && order.items.some(unshipped);
  const edits = (line) => changeable && unshipped(line) && h("div.acts", {}, act("Change", () => commands.changeLine(key, line, ordered(line)), "small"), act("Replace", () => commands.replaceProduct(key, line), "small"));
  const rows = order.items.map((line) => [line.lineId, productLink(line.productId), count(line.quantity), [
    h("span.small", {}, UNITS.map((name) => [name, units(line, name)]).filter(([, value]) => value > 0).map(([name, value]) => `${count(value)} ${name}`).join(" · "), line.lost ? ` · ${line.lost} lost` : "", line.returned ? ` · ${line.returned} returned` : ""),
    (line.locations ?? []).filter((each) => each.allocated).map((each) => h("div.small.quiet", {}, `${count(each.allocated)} allocated at ${each.location}`)),
    h("div.units", { "aria-hidden": "true" }, UNITS.map((name) => h(`i.u-${name}`, { style: { flexGrow: units(line, name) } })))], money(line.price), edits(line)]);
  return h("div", {}, h(`section.card${past ? ".past" : ""}`, { "aria-label": "Lines" }, h("header", {}, h("h2", {}, "Lines"), h("div.small.quiet", {}, `total ${money(order.totalCost)}`), changeable && act("Add line", () => commands.addLine(key, order.totalCost.currency), "small")),
    table("Lines", [["line"], ["product"], ["ordered", true], ["where its units are"], ["price", true], [""]], rows, "No lines.")));
}

/** Return the locations with allocated units of these lines; none if all are at the only one. */
const placesOf = (items) => [...new Set(items.flatMap((line) => (line.locations ?? (line.allocated ? [{ location: "default", allocated: line.allocated }] : [])).filter((each) => each.allocated).map((each) => each.location)))].sort().filter((_, __, all) => all.length > 1 || all[0] !== "default");

const unshipped = (line) => line.pending + line.backordered + line.allocated > 0;

function units(line, name) {
  return name === "shipped" ? Math.max(line.shipped - line.delivered, 0) : line[name];
}

function reasons({ reasons: found }) {
  const title = found.every((reason) => reason.waitsFor === "NOTHING") ? "Status" : "Waiting for";
  return h("section.card", { "aria-label": title }, h("header", {}, h("h2", {}, title)),
    h("ul.reasons", {}, found.map((reason) => h("li", {}, reason.message ?? reason.sentence ?? words(reason.code ?? reason.reason)))));
}

function shipments(order, key, now) {
  const parcels = order.shipments.map((shipment) => [h("span.mono.small", {}, shipment.shipmentId), tag(shipment.status, shipment.status === "DELIVERED" ? "good" : shipment.status === "CANCELLED" ? "bad" : "info"),
    [[shipment.carrier, shipment.trackingNumber].filter(Boolean).join(" "), shipment.location && h("div.small.quiet", {}, `from ${shipment.location}`)], now && !["DELIVERED", "CLOSED", "CANCELLED"].includes(shipment.status)
      ? h("div.acts", {}, act("Deliver", () => commands.deliver(key, shipment.shipmentId), "small"), act("Units lost", () => commands.closeShipment(key, shipment.shipmentId), "small"), act("Cancel shipment", () => commands.takeBack(key, shipment.shipmentId), "small")) : ""]);
  const returns = order.returns.map((returned) => [h("span.mono.small", {}, returned.returnId), tag(returned.status, returned.status === "OPEN" ? "warn" : "good"), returned.reason,
    now && returned.status === "OPEN" ? h("div.acts", {}, act("Count in", () => commands.receiveReturn(key, returned.returnId), "small")) : ""]);
  return [h("section.card", { "aria-label": "Shipments" }, h("header", {}, h("h2", {}, "Shipments")), table("Shipments", [["shipment"], ["status"], ["carrier"], [""]], parcels, "Nothing has been shipped.")),
    returns.length ? h("section.card", { "aria-label": "Returns" }, h("header", {}, h("h2", {}, "Returns")), table("Returns", [["return"], ["status"], ["reason"], [""]], returns, "")) : ""];
}

function address(order, now) {
  const where = order.shippingAddress;
  const reach = [where.phone, where.email].filter(Boolean);
  const place = where.erased ? tag("erased", "warn") : typeof where === "string" ? tag("encrypted", "warn") // it cannot be decrypted now
    : [where.name, where.company, where.street, where.street2, where.street3, where.city, where.state, where.zipCode, where.country].filter(Boolean).join(", ");
  const facts = [["customer", customerLink(order.customerId)], ["ships to", place], ...(reach.length ? [["reach", reach.join(", ")]] : []), ...(where.instructions ? [["instructions", where.instructions]] : []), ["when short", words(order.policy)], ["placed", when(order.createdAt)], ["changed", when(order.updatedAt)]];
  return h("section.card", { "aria-label": "About it" }, h("header", {}, h("h2", {}, "About it"), now && order.items.some(unshipped) && h("div.acts", {}, act("Change address", () => commands.changeAddress(order.id, where), "small"), act("Change policy", () => commands.changePolicy(order.id), "small"))), h("dl.facts", {}, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}

function slider(now, shown, travel) {
  if (now.version < 2) return "";
  const at = shown ?? now.version;
  return h("div.travel", {}, h("label.small.quiet", { for: "version" }, "as of version"),
    h("input", { id: "version", type: "range", min: 1, max: now.version, value: at, onchange: async ({ target }) => { await travel(Number(target.value)); document.getElementById("version")?.focus(); } }), h("output.small.mono", {}, `${at} of ${now.version}`));
}

function timeline(now, shown, history, refusals, parked, travel, key) {
  const steps = [
    ...history.map((event) => ({ time: event.time, version: event.sequence, title: sentence(event.type), event, topic: "order-events", message: event.id })),
    ...refusals.map((refusal) => ({ time: refusal.time, bad: true, title: `${sentence(refusal.type || "A message")} was refused`, text: refusal.message, code: refusal.code, topic: "order-commands", message: refusal.id })),
    ...(parked?.items ?? []).map((letter) => ({ time: letter.time, bad: true, title: `${sentence(letter.commandType ?? "A command")} is parked`, text: letter.message, letter })),
  ].sort((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : (b.version ?? 0) - (a.version ?? 0)));
  return h("ol.timeline", {}, steps.map((step) => {
    const here = step.version === (shown ?? now.version);
    return h("li", { class: [step.bad && "bad", here && "here", shown !== null && step.version > shown && "later"].filter(Boolean).join(" ") }, h("span.knot", { "aria-hidden": "true" }),
      h("div", {}, h("div.head", {}, h("strong", {}, step.title), when(step.time), step.version && h("span.small.quiet", {}, `v${step.version}`)),
        h("div.small.quiet", {}, step.text ?? details(step.event)), h("div.row.small", {},
          step.version && !here && act("See it then", () => travel(step.version), "plain"), act("Message", () => (step.letter ? show("Parked command", h("pre", { tabindex: "0" }, JSON.stringify(step.letter, null, 2)), true) : raw(step, key)), "plain"))));
  }));
}

function details({ data, commandType, principal }) {
  const parts = [principal && `sent by ${principal}`, data.reason, data.carrier, data.trackingNumber, data.customerId && `by ${data.customerId}`];
  if ("allocated" in data) parts.push(UNITS.filter((name) => data[name] > 0).map((name) => `${data[name]} ${name}`).join(", "), data.productId);
  else if (data.lines) parts.push(data.lines.map((line) => `${line.received ?? line.quantity} × ${line.productId ?? `line ${line.lineId}`}`).join(", "));
  if (commandType) parts.push(`after ${sentence(commandType).toLowerCase()}`);
  return parts.filter(Boolean).join(" · ");
}

async function raw({ topic, message, time }, key) {
  const [found, { kafdrop }] = await Promise.all([get(`/messages/${topic}/${id(message)}?key=${id(key)}&time=${id(time)}`), get("/pipeline")]);
  const link = kafdrop && `${kafdrop.replace(/\/$/, "")}/topic/${id(found.topic)}/messages?partition=${found.partition}&offset=${found.offset}&count=1&keyFormat=DEFAULT&format=DEFAULT`;
  const facts = [["topic", found.topic], ["partition", found.partition], ["offset", found.offset], ["key", found.key], ["received by Kafka", when(new Date(found.timestamp).toISOString())],
    ...found.headers.filter(({ name }) => name.startsWith("ce_")).map(({ name, value, valueBase64 }) => [name, value ?? valueBase64 ?? ""])]; // CloudEvents' binary mode
  let value = found.value ?? found.valueBase64;
  try { value = JSON.stringify(JSON.parse(value), null, 2); } catch { /* shown unchanged, because it is not JSON */ }
  show("Message", [h("dl.facts", {}, facts.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd.mono", {}, text)))), h("pre", { tabindex: "0" }, value), link && h("p", {}, h("a", { href: link, rel: "noreferrer" }, "Open in Kafdrop"))], true);
}
