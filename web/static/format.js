/* Formatting of values, and the small elements that every view uses. */
import { h } from "./dom.js";
import { id } from "./api.js";

const number = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const dated = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "medium" });

export const count = (value) => number.format(value ?? 0);
export const units = (value, noun = "unit", many = `${noun}s`) => `${count(value)} ${value === 1 ? noun : many}`;
export const money = (value) => (value ? `${value.value.replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, ",")} ${value.currency}` : "");
export const milliseconds = (value) => (value === null || value === undefined ? "–" : value < 1000 ? `${Math.round(value)} ms` : `${count(Number((value / 1000).toFixed(1)))} s`);

/** Return `ORDER_ON_HOLD` as "order on hold". */
export const words = (code) => (code ?? "").replaceAll("_", " ").toLowerCase();
/** Return `AllocationRecorded` as "Allocation recorded". */
export const sentence = (name) => name.replace(/(?<=[a-z])(?=[A-Z])/g, " ").replace(/ [A-Z]/g, (letter) => letter.toLowerCase());

export function when(time, precise = false) {
  if (!time) return "";
  const date = new Date(time);
  const now = new Date(), today = date.toDateString() === now.toDateString();
  const shown = today || precise ? clock : date.getFullYear() === now.getFullYear() ? day : dated;
  return h("time", { datetime: time, title: full.format(date) }, shown.format(date));
}

/** Return how long ago a time is, in the largest unit that fits. */
export function age(time) {
  const seconds = Math.max((Date.now() - new Date(time)) / 1000, 0);
  const [length, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([each]) => seconds >= each) ?? [1, "s"];
  return h("time", { datetime: time, title: full.format(new Date(time)) }, `${count(Math.floor(seconds / length))} ${unit}`);
}
export const clockTime = (seconds) => clock.format(new Date(seconds * 1000));

const TONES = {
  REGISTERED: "", PARTIALLY_SHIPPED: "info", SHIPPED: "info", PARTIALLY_DELIVERED: "good", DELIVERED: "good", CANCELLED: "bad",
  PENDING: "", ALLOCATED: "good", PARTIALLY_ALLOCATED: "warn", BACKORDERED: "warn",
  AVAILABLE: "good", OUT_OF_STOCK: "warn", DISCONTINUED: "bad",
};
export const tag = (code, tone = TONES[code] ?? "") => (code ? h(`span.tag${tone ? `.${tone}` : ""}`, {}, words(code)) : "");
export const orderLink = (order) => h("a.id.mono", { href: `#/orders/${id(order)}`, title: order }, order);
export const productLink = (product) => h("a.id.mono", { href: `#/inventory/${id(product)}`, title: product }, product);
export const customerLink = (customer) => h("a.id", { href: `#/orders?customerId=${id(customer)}`, title: customer }, customer);

/** Return a table; `columns` are [title, is it a number], `rows` lists of cells; a caption for screen readers. */
export function table(caption, columns, rows, empty) {
  if (!rows.length) return h("p.empty", {}, empty);
  const head = columns.map(([title, numeric]) => h(numeric ? "th.number" : "th", { scope: "col" }, title));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell, place) => h(columns[place][1] ? "td.number" : "td", {}, cell))));
  return h("div.scroll", {}, h("table", {}, h("caption.hidden", {}, caption), h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

/** Return a card: a titled section. */
export function card(width, title, aside, ...content) {
  const name = `card-${title.toLowerCase().replaceAll(/\W+/g, "-")}`;
  return h(`section.card.${width}`, { "aria-labelledby": name }, h("header", {}, h("h2", { id: name }, title), aside && h("div.small.quiet", {}, aside)), ...content);
}
