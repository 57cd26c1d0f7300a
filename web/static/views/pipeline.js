/* Whether messages flow: roles and their lag, read models, and failed commands. */
import { get, list } from "../api.js";
import { discard, retry } from "../commands.js";
import { fill, h, renew } from "../dom.js";
import { show } from "../forms.js";
import { card, count, orderLink, productLink, sentence, table, units, when, words } from "../format.js";
import { act, every } from "../views.js";

export default async function pipeline(page, _, signal) {
  const parts = Object.fromEntries(["roles", "projections", "parked", "others"].map((name) => [name, h("div")]));
  const state = h("span.quiet");
  const load = async () => {
    const [found, projections, parked, invalid] = await Promise.all([get("/pipeline", signal), list("/projections", signal), list("/letters?limit=100", signal), list("/letters?kind=invalid&limit=20", signal)]);
    renew(parts.roles, roles(found));
    unlessSame(parts.parked, parked.data, letters);
    unlessSame(parts.others, invalid.data, refused);
    renew(parts.projections, models(projections.data));
    renew(state, `version ${found.version} · ${units(found.listeners, "listener")} to the event stream · `, found.kafdrop ? h("a", { href: found.kafdrop, rel: "noreferrer" }, "Kafdrop") : "Kafdrop is not configured");
  };
  await every(5000, signal, load);
  fill(page, h("div.title", {}, h("h1", {}, "Pipeline"), state), card("w12", "Roles", "backlog by partition", parts.roles),
    card("w12", "Parked commands", "they wait in order after the first one that failed", parts.parked), card("w12", "Read models", null, parts.projections), card("w12", "Refused messages", "newest first; not commands, or unreadable", parts.others));
}

const drawn = new WeakMap();

/** Draw `data` in `place` if it changed: a button that a user is about to press stays in place. */
function unlessSame(place, data, draw) {
  const text = JSON.stringify(data);
  if (drawn.get(place) === text) return;
  drawn.set(place, text);
  fill(place, draw(data));
}

function roles({ roles: found }) {
  return h("div.roles", {}, found.map((role) => h("div.role", {}, h("b", {}, h(`i.dot${role.workers ? (role.lag ? ".warn" : "") : ".bad"}`), role.role),
    h("span.small.quiet", {}, role.workers ? units(role.workers, "worker") : "no worker handles it", " · ", role.lag ? `${count(role.lag)} behind` : "caught up"),
    role.topics.map((topic) => h("div", {}, bars(topic), h("span.small.quiet", {}, topic.topic))))));
}

function bars({ topic, byPartition }) {
  const most = Math.max(...byPartition, 1);
  return h("div.lags", { role: "img", "aria-label": `${topic}: ${byPartition.map((lag, number) => `partition ${number}: ${lag}`).join(", ")}` },
    byPartition.map((lag, number) => h(lag ? "i.some" : "i", { title: `partition ${number}: ${count(lag)} not handled`, style: { height: `${Math.max((lag / most) * 100, 10)}%` } })));
}

function models(projections) {
  return table("Read models", [["projection"], ["version", true], ["state"], ["events behind the most advanced version", true], ["built"], ["why"]], projections.flatMap((each) => each.versions.map((version) =>
    [each.name, version.version, version.version === each.live ? h("span.tag.good", {}, "live") : h("span.tag", {}, version.state), count(version.behind), when(version.createdAt), version.reason ?? ""])), "No read model is deployed.");
}

function letters(found) {
  return table("Parked commands", [["of"], ["command"], ["why"], ["parked", true], ["since"], [""]], found.map((key) => [key.aggregate === "order" ? orderLink(key.aggregateId) : productLink(key.aggregateId), sentence(key.commandType ?? ""),
    [h("div", {}, key.message), h("code.small.quiet", {}, key.code, key.attempts > 1 ? `, tried ${key.attempts} times` : "")], count(key.letters), when(key.since),
    h("div.acts", {}, act("Retry", () => retry(key.aggregate, key.aggregateId), "small"), act("Discard", () => discard(key.aggregate, key.aggregateId, key.commandId), "small"),
      act("Look", async () => show("Parked commands", h("pre", { tabindex: "0" }, JSON.stringify(await get(`/letters/${key.aggregate}/${encodeURIComponent(key.aggregateId)}`), null, 2)), true), "small"))]), "No command is parked.");
}

/** Return the part of a text that a page can show: a message may have megabytes. */
const beginning = (text) => (text.length > 50000 ? `${text.slice(0, 50000)}\n… ${count(text.length)} characters in total` : text);

function refused(found) {
  return table("Refused messages", [["topic"], ["where"], ["why"], ["when"], [""]], found.map((letter) => [letter.topic, h("span.mono.small", {}, `${letter.partition}@${letter.offset}`), [h("div", {}, letter.message), h("code.small.quiet", {}, letter.code)], when(letter.time),
    h("div.acts", {}, act("Look", async () => show("Refused message", h("pre", { tabindex: "0" }, beginning(JSON.stringify(await get(`/letters/${letter.id}`), null, 2))), true), "small"))]), "Every message could be read.");
}
