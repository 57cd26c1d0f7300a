/* Reads /asyncapi.json and shows every topic with its messages: fields, and an example to copy. */
import { fill, h } from "./dom.js";

const page = document.getElementById("document");

function resolve(schema, components) {
  let found = schema;
  while (found?.$ref) found = components.schemas[found.$ref.split("/").at(-1)];
  return found ?? {};
}

function typeOf(schema, components) {
  if (schema.$ref) return resolve(schema, components).enum?.join(" | ") ?? schema.$ref.split("/").at(-1);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.join(" | ");
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return [...new Set(choices.map((each) => typeOf(each, components)))].join(" | ");
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? schema.prefixItems?.[0] ?? {}, components)}`;
  return [schema.type ?? "any"].flat().join(" | ");
}

function fields(schema, components) {
  const { properties = {}, required = [] } = resolve(schema, components);
  const rows = Object.entries(properties).map(([name, field]) =>
    h("tr", {}, h("th.mono", { scope: "row" }, name), h("td.mono", {}, typeOf(field, components)),
      h("td", {}, required.includes(name) ? "required" : ""), h("td", {}, field.description ?? "")));
  if (!rows.length) return h("p.quiet", {}, "No fields.");
  const head = ["field", "type", "", ""].map((title) => h("th", { scope: "col" }, title));
  return h("div.scroll", {}, h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
}

function message(topic, name, document) {
  const found = document.components.messages[name];
  const data = found.payload.properties?.data;
  const example = found.examples?.[0]?.payload;
  return h("article", { id: `${topic}/${name}` },
    h("h3", {}, name), h("p", {}, found.summary),
    data && h("div", {}, h("p.small.quiet", {}, "data"), fields(data, document.components)),
    example && h("details", {}, h("summary", {}, "Example"), h("pre", { tabindex: "0" }, JSON.stringify(example, null, 2))),
    h("details", {}, h("summary", {}, "Envelope"), fields(found.payload, document.components)));
}

function topic(name, channel, document) {
  const { partitions, topicConfiguration: config } = channel.bindings.kafka;
  const kept = config["retention.ms"] === undefined ? "the newest of each key" : config["retention.ms"] < 0 ? "for ever" : `${config["retention.ms"] / 86_400_000} days`;
  return h("section", { id: name, "aria-labelledby": `${name}-title` },
    h("h2", { id: `${name}-title` }, channel.address),
    h("div.topic", {}, h("p", {}, channel.description),
      h("dl", {}, h("dt", {}, "partitions"), h("dd", {}, partitions), h("dt", {}, "kept"), h("dd", {}, kept))),
    ...Object.keys(channel.messages).map((each) => message(name, each, document)));
}

async function show() {
  const response = await fetch("/asyncapi.json");
  if (!response.ok) throw new Error(`/asyncapi.json: ${response.status}`);
  const found = await response.json();
  const channels = Object.entries(found.channels);
  fill(document.getElementById("topics"), h("p", {}, h("a", { href: "/" }, "Order fulfilment")),
    ...channels.flatMap(([name, channel]) => [h("a", { href: `#${name}` }, channel.address),
      h("ul", {}, ...Object.keys(channel.messages).map((each) => h("li", {}, h("a", { href: `#${name}/${each}` }, each))))]));
  fill(page, h("header", {}, h("h1", {}, "Topics and messages"), h("p", {}, found.info.description),
    h("p.small.quiet", {}, "AsyncAPI 3, version ", found.info.version, " · ", h("a", { href: "/asyncapi.json" }, "the document"))),
    ...channels.map(([name, channel]) => topic(name, channel, found)));
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

show().catch((error) => fill(page, h("p", { role: "alert" }, `The document could not be shown: ${error.message}`)));
