/* The newest events, as they arrive. */
import { fill, h } from "../dom.js";
import { orderLink, productLink, sentence, when } from "../format.js";
import { listen } from "../sse.js";

const KEPT = 60;
const PAUSE = 250; // milliseconds: many events are drawn at once

export function happening(place, signal) {
  const rows = h("ol.events", { "aria-label": "Newest events first", tabindex: "0" });
  const empty = h("p.empty", {}, "Nothing has happened in the last 15 minutes.");
  fill(place, empty, rows);
  let heard = [], drawing = false;
  const draw = () => {
    drawing = false;
    heard.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0)).slice(-KEPT).forEach((each) => insert(rows, each));
    heard = [];
    while (rows.childElementCount > KEPT) rows.lastChild.remove();
    empty.hidden = rows.childElementCount > 0;
  };
  const hear = (event) => { heard.push(event); if (!drawing) { drawing = true; setTimeout(draw, PAUSE); } };
  const say = (connected) => { const shown = document.getElementById("stream"); if (shown) shown.textContent = connected ? "connected" : "reconnecting …"; };
  listen({ recent: "30" }, hear, say, signal);
}

/** Insert an event at its place, because partitions are read one after the other. */
function insert(rows, event) {
  let before = rows.firstElementChild;
  while (before && before.dataset.time > event.time) before = before.nextElementSibling;
  rows.insertBefore(row(event), before);
}

function row({ type, source, subject, time, data, ...at }) {
  const isOrder = source === "order";
  const more = isOrder ? data.reason ?? data.carrier : data.orderId ? orderLink(data.orderId) : data.reason;
  return h("li", { "data-time": time }, when(time, true), h("span", {}, sentence(type)), h("span.what", {}, isOrder ? orderLink(subject) : productLink(subject), more ? [" · ", more] : ""),
    h("span.where.small.quiet.mono", { title: `${at.kafkatopic}, partition ${at.kafkapartition}, offset ${at.kafkaoffset}` }, `${at.kafkapartition}@${at.kafkaoffset}`));
}
