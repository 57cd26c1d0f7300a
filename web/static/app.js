/* Routes to views and draws the frame around them. A view is a function (page, parameters, signal): it fills the page
 * and keeps it up to date until the signal aborts. */
import { get, authorize, id } from "./api.js";
import { fill, h } from "./dom.js";
import { ask, say } from "./forms.js";
import { placeOrder } from "./commands.js";
import inventory from "./views/inventory.js";
import order from "./views/order.js";
import orders from "./views/orders.js";
import overview from "./views/overview.js";
import pipeline from "./views/pipeline.js";
import product from "./views/product.js";
import webhook from "./views/webhook.js";
import webhooks from "./views/webhooks.js";
import work from "./views/work.js";

const SECTIONS = [["", "Overview"], ["orders", "Orders"], ["inventory", "Inventory"], ["work", "Work queue"], ["webhooks", "Webhooks"], ["pipeline", "Pipeline"]];
const VIEWS = [
  [/^$/, overview, "Overview"], [/^orders$/, orders, "Orders"], [/^orders\/(.+)$/, order, "Order"], [/^inventory$/, inventory, "Inventory"],
  [/^inventory\/(.+)$/, product, "Product"], [/^work$/, work, "Work queue"], [/^webhooks$/, webhooks, "Webhooks"], [/^webhooks\/(.+)$/, webhook, "Webhook"], [/^pipeline$/, pipeline, "Pipeline"],
];
const page = document.getElementById("main");
let current = new AbortController();

function show(moved = true) {
  current.abort();
  current = new AbortController();
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [pattern, view, title] = VIEWS.find(([each]) => each.test(path)) ?? VIEWS[0];
  const key = pattern.exec(path)?.[1];
  document.title = `${key ? decodeURIComponent(key) : title} · Order fulfilment`;
  fill(document.getElementById("sections"), SECTIONS.map(([name, text]) =>
    h("a", { href: `#/${name}`, "aria-current": path.split("/")[0] === name ? "page" : null }, text)));
  fill(page, h("p.loading", { role: "status" }, "Loading …"));
  if (moved) { page.focus({ preventScroll: true }); scrollTo(0, 0); }
  const { signal } = current;
  view(page, { key: key && decodeURIComponent(key), query: new URLSearchParams(query) }, signal).catch((error) => failed(error, signal));
}

function failed(error, signal) {
  if (signal.aborted || error.name === "AbortError") return;
  if (error.status === 401) { askForToken(); return; }
  const again = error.code === "MISSING_SCOPE" ? ["Use another token", askForToken] : ["Try again", () => show()];
  fill(page, h("div.problem", { role: "alert" }, h("span", {}, error.message), h("button", { type: "button", onclick: again[1] }, again[0])));
}

function askForToken() {
  fill(page, h("p.empty", {}, "This installation requires a token."));
  ask("Token", [{ name: "token", label: "Bearer token", type: "password", wide: true, hint: "With the scope read, and command or operate to change something; kept in this tab only" }], "Continue", async ({ token }) => {
    authorize(token);
    show();
    return "";
  });
}

async function find(event) {
  event.preventDefault();
  const wanted = new FormData(event.target).get("id").trim();
  if (!wanted) return;
  for (const [kind, section] of [["orders", "orders"], ["inventory", "inventory"]]) {
    try {
      await get(`/${kind}/${id(wanted)}`);
      location.hash = `#/${section}/${id(wanted)}`;
      event.target.reset();
      return;
    } catch (error) {
      if (error.status !== 404) { say(error.message); return; }
    }
  }
  say(`No order or product has the id ${wanted}.`);
}

document.getElementById("find").addEventListener("submit", find);
document.getElementById("place").addEventListener("click", () => placeOrder());
addEventListener("hashchange", () => { document.getElementById("dialog").close(); show(); });
addEventListener("changed", () => show(false)); // this page's own changes to the data it shows
show(false);
