/* Common parts of views: polling, buttons that send commands, and paged lists. */
import { list } from "./api.js";
import { h } from "./dom.js";
import { say } from "./forms.js";

/** Call repeatedly, every `milliseconds` while the page is visible, until the signal aborts; the first failure is
 * thrown. */
export async function every(period, signal, ask) {
  await ask();
  (async () => {
    for (;;) {
      await new Promise((resolve) => { setTimeout(resolve, period); signal.addEventListener("abort", resolve, { once: true }); });
      if (signal.aborted) return;
      if (document.hidden) continue;
      try { await ask(); } catch (error) { if (!signal.aborted && error.name !== "AbortError") say(error.message); }
    }
  })();
}

/** Return a button that runs an action, is disabled meanwhile, and shows the result. */
export function act(text, action, kind = "") {
  return h(`button${kind && `.${kind}`}`, { type: "button", onclick: async ({ currentTarget: button }) => {
    button.disabled = true;
    try { const said = await action(); if (typeof said === "string") say(said); } catch (error) { if (error.name !== "AbortError") say(error.message); } finally { button.disabled = false; }
  } }, text);
}

const MOST = 500; // the largest page the API returns

/** Return an element with a list page by page: `rows` turns the data so far into an element; as long as the list `like`,
 *  also where more of that one was asked for while this one is loaded. */
export async function paged(path, rows, signal, { size = 50, like } = {}) {
  const place = h("div");
  let found = [], cursor = null;
  const wanted = () => lengths.get(like) ?? 0;
  const load = async (limit) => {
    lengths.set(place, found.length + limit);
    const query = `limit=${limit}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`;
    const answer = await list(`${path}${path.includes("?") ? "&" : "?"}${query}`, signal);
    found = [...found, ...answer.data];
    cursor = answer.nextCursor;
    place.replaceChildren(rows(found), cursor ? h("div.more", {}, act("Show more", () => load(size))) : "");
  };
  await load(Math.min(Math.max(wanted(), size), MOST));
  while (cursor && found.length < wanted()) await load(Math.min(wanted() - found.length, MOST));
  return place;
}
const lengths = new WeakMap(); // element → how many entries it has or was asked for
