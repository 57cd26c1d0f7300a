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
      h("div.w5", {}, figures(found), locations(found), underWay(found), card("w12", "Waiting orders", found.backorderedQuantity ? `${units(found.backorderedQuantity)}, first come first` : null, waiting),
        card("w12", "Reservations", found.allocatedQuantity ? `${units(found.allocatedQuantity)} held` : null, held)),
      card("w7", "Movements", "newest first", ledger)));
    return found.version;
  };
  await draw();
  follow(key, "inventory", draw, signal);
}

const placesOf = ({ locations: found = [] }) => found.map((each) => each.location);

function head({ productId: key, status, onHandQuantity, ...found }) {
  const places = placesOf(found);
  return h("div.title", {}, h("h1.mono", {}, key), tag(status), h("div.row.end", {}, act("Receive", () => commands.receive(key), "primary"), act("Adjust", () => commands.adjust(key, places)),
    !places.length && act("Count", () => commands.countStock(key, onHandQuantity)), act("Transfer", () => commands.transfer(key, places.length ? places : ["default"])), act("Place order", () => commands.placeOrder(key)),
    status === "DISCONTINUED" ? act("Reactivate", () => commands.reactivate(key)) : act("Discontinue", () => commands.discontinue(key), "danger")));
}

function figures(found) {
  const facts = [["available", found.availableQuantity], ["allocated", found.allocatedQuantity], ["on hand", found.onHandQuantity], ["waiting for", found.backorderedQuantity], ["damaged", found.damagedQuantity], ...("inTransitQuantity" in found ? [["in transit", found.inTransitQuantity]] : []), ["version", found.version]];
  return card("w12", "Units", when(found.updatedAt), h("dl.facts", {}, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, h("strong", {}, count(value)))))));
}

function locations({ productId: key, locations: found = [] }) {
  if (!found.length) return "";
  return card("w12", "Locations", units(found.length, "location"), table("Stock by location", [["location"], ["available", true], ["allocated", true], ["on hand", true], [""]], found.map((each) => [
    [h("span.mono", {}, each.location), each.open ? "" : [" ", tag("closed", "warn")]], count(each.availableQuantity), count(each.allocatedQuantity),
    [count(each.onHandQuantity), each.damagedQuantity ? h("div.small.quiet", {}, `${count(each.damagedQuantity)} damaged`) : ""],
    h("div.acts", {}, act("Count", () => commands.countStock(key, each.onHandQuantity, each.location), "small"), each.open ? act("Close", () => commands.closeLocation(key, each.location), "small") : act("Open", () => commands.openLocation(key, each.location), "small"))]), ""));
}

function underWay({ productId: key, transfers = [], inTransitQuantity }) {
  if (!transfers.length) return "";
  return card("w12", "In transit", units(inTransitQuantity), table("Units in transit", [["transfer"], ["from"], ["to"], ["units", true], [""]], transfers.map((each) => [
    h("span.mono.small", {}, each.transferId), each.source, each.target, count(each.quantity), h("div.acts", {}, act("Receive", () => commands.receiveTransfer(key, each), "small"))]), ""));
}

function queue(lines) {
  return table("Waiting orders", [["order"], ["line"], ["waiting", true], ["since"]], lines.map((line) => [orderLink(line.orderId), line.lineId, count(line.waiting), when(line.updatedAt)]), "No order waits for it.");
}

function reservations(lines) {
  return table("Reservations", [["order"], ["line"], ["held", true], ["waiting", true], ["since"]], lines.map((line) => [orderLink(line.orderId), line.lineId, [count(line.held), (line.locations ?? []).filter((each) => each.held).map((each) => h("div.small.quiet", {}, `${count(each.held)} at ${each.location}`))], count(line.waiting), when(line.updatedAt)]), "Nothing is reserved.");
}

function movements(found) {
  const signed = (value) => (value > 0 ? `+${count(value)}` : count(value));
  return table("Movements", [["what"], ["order"], ["units", true], ["on hand", true], ["when"]], found.map((entry) => [[sentence(entry.type), entry.reason ? h("div.small.quiet", {}, entry.reason) : ""], entry.orderId ? orderLink(entry.orderId) : "",
    entry.delta ? signed(entry.delta) : entry.quantity ? h("span.quiet", {}, count(entry.quantity)) : "", count(entry.balance?.onHand), when(entry.time)]), "No movements yet.");
}
