/* Products and their stock, page by page; products that are short come first. */
import { get } from "../api.js";
import { receive, newProduct } from "../commands.js";
import { fill, h } from "../dom.js";
import { card, count, productLink, table, tag, when, words } from "../format.js";
import { act, paged } from "../views.js";

const STATUSES = ["", "AVAILABLE", "OUT_OF_STOCK", "DISCONTINUED"];
const COLUMNS = [["product"], ["waiting", true], ["available", true], ["allocated", true], ["on hand", true], ["status"], ["changed"], [""]];

export default async function inventory(page, { query }, signal) {
  const status = query.get("status") ?? "";
  const [summary, found] = await Promise.all([get("/summary", signal), paged(`/inventory${status ? `?status=${status}` : ""}`, (data) => rows(data, "No product matches."), signal)]);
  const choice = h("select", { "aria-label": "Status", onchange: ({ target }) => { location.hash = `#/inventory${target.value && `?status=${target.value}`}`; } },
    STATUSES.map((value) => h("option", { value, selected: value === status }, value ? words(value) : "Status: any")));
  fill(page, h("div.title", {}, h("h1", {}, "Inventory"), h("div.row.end", {}, choice, act("Receive stock", newProduct))),
    summary.products.short.length && !status ? card("w12", "Short", most(summary.products), rows(summary.products.short, "")) : "",
    card("w12", "Products", null, found));
}

const most = ({ short, shortTotal }) => (shortTotal > short.length ? `the ${short.length} most wanted of ${count(shortTotal)}` : "most wanted first");

function rows(products, empty) {
  return table("Products", COLUMNS, products.map((product) => [productLink(product.productId), product.backorderedQuantity ? h("span.tag.warn", {}, count(product.backorderedQuantity)) : "0",
    count(product.availableQuantity), count(product.allocatedQuantity), count(product.onHandQuantity), tag(product.status), when(product.updatedAt), h("div.acts", {}, act("Receive", () => receive(product.productId), "small"))]), empty);
}
