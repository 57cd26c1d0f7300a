/* How things are written, and the small parts every view uses. */
import { h } from "./dom.js";
import { id } from "./api.js";

const number = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "medium" });

export const count = (value) => number.format(value ?? 0);
export const units = (value, noun = "unit") => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
export const money = (value) => (value ? `${value.value} ${value.currency}` : "");
export const milliseconds = (value) => (value === null || value === undefined ? "–" : value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`);

/** Return `ORDER_ON_HOLD` as "order on hold". */
export const words = (code) => (code ?? "").replaceAll("_", " ").toLowerCase();
/** Return `AllocationRecorded` as "Allocation recorded". */
export const sentence = (name) => name.replace(/(?<=[a-z])(?=[A-Z])/g, " ").replace(/ [A-Z]/g, (letter) => letter.toLowerCase());

export function when(time, precise = false) {
  if (!time) return "";
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  return h("time", { datetime: time, title: full.format(date) }, today || precise ? clock.format(date) : day.format(date));
}

const TONES = {
  REGISTERED: "", PARTIALLY_SHIPPED: "info", SHIPPED: "info", PARTIALLY_DELIVERED: "good", DELIVERED: "good", CANCELLED: "bad",
  PENDING: "", ALLOCATED: "good", PARTIALLY_ALLOCATED: "warn", BACKORDERED: "warn",
  AVAILABLE: "good", OUT_OF_STOCK: "warn", DISCONTINUED: "bad",
};
export const tag = (code, tone = TONES[code] ?? "") => (code ? h(`span.tag${tone ? `.${tone}` : ""}`, {}, words(code)) : "");
export const orderLink = (order) => h("a.mono", { href: `#/orders/${id(order)}` }, order);
export const productLink = (product) => h("a.mono", { href: `#/inventory/${id(product)}` }, product);
export const customerLink = (customer) => h("a", { href: `#/orders?customerId=${id(customer)}` }, customer);

/** Return a table; `columns` are [title, is it a number], `rows` lists of cells; a caption for who cannot see it. */
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
