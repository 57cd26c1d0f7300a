/* The webhooks: where events are sent, and whether they arrive. Only a token with the scope `operate` may read them. */
import { list } from "../api.js";
import { pauseHook, replayHook, resumeHook } from "../commands.js";
import { fill, h } from "../dom.js";
import { card, table, tag, units, when } from "../format.js";
import { act, every } from "../views.js";

const TONES = { active: "good", paused: "", parked: "bad" };

export default async function webhooks(page, _, signal) {
  let drawn = "";
  await every(5000, signal, async () => {
    const { data } = await list("/webhooks", signal);
    if (drawn === JSON.stringify(data)) return; // a button that a user is about to press stays in place
    drawn = JSON.stringify(data);
    fill(page, h("div.title", {}, h("h1", {}, "Webhooks"), h("span.quiet", {}, units(data.length, "webhook"))), card("w12", "Receivers", "oldest first", rows(data)));
  });
}

function rows(found) {
  return table("Webhooks", [["receiver"], ["status"], ["events"], ["only for"], ["created"], [""]], found.map((hook) => [
    [h("a.id", { href: `#/webhooks/${hook.id}`, title: hook.id }, receiver(hook.url)), hook.description && h("div.small.quiet", {}, hook.description)],
    [status(hook), hook.reason && h("div.small.wrong", {}, hook.reason)], hook.types.join(", ") || "all", filters(hook), when(hook.createdAt), h("div.acts", {}, controls(hook))]),
  "No webhooks. POST /api/v1/webhooks creates one.");
}

/** Return a URL without its query, which may contain a token. */
export const receiver = (url) => url.replace(/\?.*/s, "?…");
export const status = (hook) => tag(hook.status, TONES[hook.status]);
export const filters = (hook) => [hook.customerIds.length && `customers ${hook.customerIds.join(", ")}`, hook.locations.length && `locations ${hook.locations.join(", ")}`].filter(Boolean).join(" · ") || "everything";
export const controls = (hook, kind = "small") => [hook.status === "active" ? act("Pause", () => pauseHook(hook.id), kind) : act("Resume", () => resumeHook(hook.id), kind), act("Replay", () => replayHook(hook.id), kind)];
