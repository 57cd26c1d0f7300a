/* One product: its figures, the orders that wait for it, and every movement. */
import { get, id } from "../api.js";
import * as commands from "../commands.js";
import { fill, h } from "../dom.js";
import { card, count, orderLink, sentence, table, tag, units, when } from "../format.js";
import { follow } from "../sse.js";
import { act, paged } from "../views.js";

const FEW = 20;

export default async function product(page, { key }, signal) {
  const path = `/inventory/${id(key)}`;
  let waiting, held, ledger; // redrawn with as many entries as before
  const draw = async () => {
    let found;
    [found, waiting, held, ledger] = await Promise.all([get(path, signal),
      paged(`${path}/backorders`, queue, signal, { size: FEW, like: waiting }), paged(`${path}/reservations`, reservations, signal, { size: FEW, like: held }),
      paged(`${path}/ledger?sort=-sequence`, movements, signal, { like: ledger })]);
    if (signal.aborted) return found.version;
    fill(page, head(found), h("div.columns", {},
      h("div.w5", {}, figures(found), card("w12", "Waiting orders", found.backorderedQuantity ? `${units(found.backorderedQuantity)}, first come first` : null, waiting),
        card("w12", "Reservations", found.allocatedQuantity ? `${units(found.allocatedQuantity)} held` : null, held)),
      card("w7", "Movements", "newest first", ledger)));
    return found.version;
  };
  await draw();
  follow(key, "inventory", draw, signal);
}

function head({ productId: key, status }) {
  return h("div.title", {}, h("h1.mono", {}, key), tag(status), h("div.row.end", {}, act("Receive", () => commands.receive(key), "primary"), act("Adjust", () => commands.adjust(key)), act("Place order", () => commands.placeOrder(key)),
    status === "DISCONTINUED" ? act("Reactivate", () => commands.reactivate(key)) : act("Discontinue", () => commands.discontinue(key), "danger")));
}

function figures(found) {
  const facts = [["available", found.availableQuantity], ["allocated", found.allocatedQuantity], ["on hand", found.onHandQuantity], ["waiting for", found.backorderedQuantity], ["damaged", found.damagedQuantity], ["version", found.version]];
  return card("w12", "Units", when(found.updatedAt), h("dl.facts", {}, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, h("strong", {}, count(value)))))));
}

function queue(lines) {
  return table("Waiting orders", [["order"], ["line"], ["waiting", true], ["since"]], lines.map((line) => [orderLink(line.orderId), line.lineId, count(line.waiting), when(line.updatedAt)]), "No order waits for it.");
}

function reservations(lines) {
  return table("Reservations", [["order"], ["line"], ["held", true], ["waiting", true], ["since"]], lines.map((line) => [orderLink(line.orderId), line.lineId, count(line.held), count(line.waiting), when(line.updatedAt)]), "Nothing is reserved.");
}

function movements(found) {
  const signed = (value) => (value > 0 ? `+${count(value)}` : count(value));
  return table("Movements", [["what"], ["order"], ["units", true], ["on hand", true], ["when"]], found.map((entry) => [[sentence(entry.type), entry.reason ? h("div.small.quiet", {}, entry.reason) : ""], entry.orderId ? orderLink(entry.orderId) : "",
    entry.delta ? signed(entry.delta) : entry.quantity ? h("span.quiet", {}, count(entry.quantity)) : "", count(entry.balance?.onHand), when(entry.time)]), "No movements yet.");
}
