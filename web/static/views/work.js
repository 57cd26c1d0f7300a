/* The orders that the warehouse can pick now, longest waiting first, at all locations or at one. */
import { get } from "../api.js";
import { ship } from "../commands.js";
import { fill, h } from "../dom.js";
import { card, count, customerLink, orderLink, productLink, table, units, when } from "../format.js";
import { act, paged } from "../views.js";

export default async function work(page, { query }, signal) {
  const place = query.get("location") ?? "";
  const [{ orders }, found] = await Promise.all([get("/summary", signal), paged(`/work-queue${place && `?location=${encodeURIComponent(place)}`}`, (entries) => rows(entries, place), signal)]);
  const chosen = h("input", { "aria-label": "Location", placeholder: "Location: any", value: place, onchange: ({ target }) => { location.hash = `#/work${target.value.trim() && `?location=${encodeURIComponent(target.value.trim())}`}`; } });
  fill(page, h("div.title", {}, h("h1", {}, "Work queue"), h("span.quiet", {}, `${units(orders.pickable, "order")} can be picked`), h("div.row.end", {}, chosen, act("Refresh", () => { dispatchEvent(new Event("changed")); }))),
    card("w12", place ? `To pick at ${place}` : "To pick", "longest waiting first", found));
}

const DEFAULT = "default"; // where units are that no location is named for

function rows(found, place) {
  return table("Orders to pick", [["order"], ["what to pick"], ["units", true], ["since"], ["customer"], [""]], found.map((entry) => {
    const lines = entry.lines.filter((line) => !place || (line.location ?? DEFAULT) === place);
    const places = [...new Set(lines.map((line) => line.location ?? DEFAULT))].sort();
    return [orderLink(entry.orderId),
      lines.map((line) => h("div.nowrap", {}, `${count(line.quantity)} × `, productLink(line.productId), line.location && !place ? [" at ", placeLink(line.location)] : "")), count(lines.reduce((sum, line) => sum + line.quantity, 0)), when(entry.since), customerLink(entry.customerId),
      h("div.acts", {}, act("Ship", () => ship(entry.orderId, places.length === 1 && places[0] === DEFAULT ? [] : places), "small"))];
  }), place ? `Nothing can be picked at ${place}.` : "Nothing can be picked: every order is shipped, on hold or waiting for stock.");
}

const placeLink = (place) => h("a", { href: `#/work?location=${encodeURIComponent(place)}` }, place);
