/* Server-sent events over fetch, which can send the token; after a broken connection, continues from the last id. */
import { headers } from "./api.js";

const BREATH = 1000; // milliseconds between two redraws of data that changes constantly

/** Call `heard(event)` for every event of `query` and `state(connected)` when the connection changes, until `signal`
 * aborts. */
export async function listen(query, heard, state, signal) {
  let last = null;
  while (!signal.aborted) {
    try {
      const response = await fetch(`/api/v1/events?${new URLSearchParams(query)}`, { headers: headers(last ? { "Last-Event-ID": last } : {}), signal });
      if (!response.ok) throw new Error(`events: ${response.status}`);
      state(true);
      last = await read(response.body, heard, (id) => { last = id; }, last);
    } catch (error) {
      if (signal.aborted) return;
    }
    state(false);
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

/** Redraw after an event of `key`, until the drawn version (returned by `draw`) includes it. */
export function follow(key, aggregate, draw, signal) {
  let due = false, heard = 0, drawn = 0;
  const again = (pause, tries) => {
    if (due) return; // a stream of events does not postpone it
    due = true;
    setTimeout(async () => {
      const version = signal.aborted ? heard : await draw().catch(() => 0);
      due = false;
      drawn = Date.now();
      if (version < heard && tries > 0) again(300, tries - 1); // the read model does not include the event yet
    }, pause);
  };
  const hear = (event) => {
    if (event.source === aggregate && event.subject === key) heard = Math.max(heard, event.sequence);
    again(Math.max(150, drawn + BREATH - Date.now()), 30);
  };
  listen({ subject: key, aggregate }, hear, (connected) => { if (connected) again(0, 30); }, signal); // the earlier part
}

async function read(body, heard, reached, last) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return last;
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const fields = Object.fromEntries(text.slice(0, end).split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      text = text.slice(end + 2);
      if (fields.id) { last = fields.id; reached(last); }
      if (fields.data && fields.event !== "closed") heard(JSON.parse(fields.data));
    }
  }
}
