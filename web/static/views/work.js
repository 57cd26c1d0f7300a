/* The orders that the warehouse can pick now, longest waiting first. */
import { get } from "../api.js";
import { ship } from "../commands.js";
import { fill, h } from "../dom.js";
import { card, count, customerLink, orderLink, productLink, table, units, when } from "../format.js";
import { act, paged } from "../views.js";

export default async function work(page, _, signal) {
  const [{ orders }, found] = await Promise.all([get("/summary", signal), paged("/work-queue", rows, signal)]);
  fill(page, h("div.title", {}, h("h1", {}, "Work queue"), h("span.quiet", {}, `${units(orders.pickable, "order")} can be picked`), h("div.row.end", {}, act("Refresh", () => { dispatchEvent(new Event("changed")); }))),
    card("w12", "To pick", "longest waiting first", found));
}

function rows(found) {
  return table("Orders to pick", [["order"], ["what to pick"], ["units", true], ["since"], ["customer"], [""]], found.map((entry) => [orderLink(entry.orderId),
    entry.lines.map((line) => h("div.nowrap", {}, `${count(line.quantity)} × `, productLink(line.productId))), count(entry.lines.reduce((sum, line) => sum + line.quantity, 0)), when(entry.since), customerLink(entry.customerId),
    h("div.acts", {}, act("Ship", () => ship(entry.orderId), "small"))]), "Nothing can be picked: every order is shipped, on hold or waiting for stock.");
}
