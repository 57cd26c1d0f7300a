/* Dialogs that ask for fields, send them and show the API's errors next to the fields. */
import { fill, h } from "./dom.js";

const dialog = document.getElementById("dialog");
const said = document.getElementById("said");
let silence = 0;

/** Show a message, also to screen readers. */
export function say(text) {
  said.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => { said.textContent = ""; }, 5000);
}

/** Show `content` in the dialog. */
export function show(title, content, wide = false) {
  dialog.className = wide ? "wide" : "";
  fill(dialog, h("div.inside", {}, h("h2", { id: "dialog-title" }, title), content, h("div.buttons", {}, h("button", { type: "button", onclick: () => dialog.close() }, "Close"))));
  dialog.showModal();
  dialog.scrollTop = 0; // the dialog scrolls to the focused element
}

/** Ask for `fields` and send them; `submit(values)` returns the message to show, or throws the API's Problem. */
export function ask(title, fields, verb, submit, note) {
  const problem = h("p.problem", { role: "alert", hidden: true });
  const inputs = fields.map(input);
  const form = h("form", { novalidate: true }, h("h2", { id: "dialog-title" }, title), note && h("p.quiet", {}, note), problem,
    h("div.fields", {}, inputs.map((each) => each.element)),
    h("div.buttons", {}, h("button", { type: "button", onclick: () => dialog.close() }, "Back"), h("button.primary", { type: "submit" }, verb)));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    inputs.forEach((each) => each.wrong(""));
    problem.hidden = true;
    try {
      const values = Object.fromEntries(inputs.map((each) => [each.name, each.value()]).filter(([, value]) => value !== ""));
      const text = await submit(values);
      dialog.close();
      say(text ?? "Done.");
    } catch (error) {
      const left = Object.entries(error.errors ?? {}).filter(([field, text]) => !mark(inputs, field, text));
      problem.textContent = left.length ? left.map(([field, text]) => `${field}: ${text}`).join("; ") : error.message;
      problem.hidden = Object.keys(error.errors ?? {}).length > 0 && !left.length;
      (form.querySelector("[aria-invalid=true]") ?? button).focus();
    } finally {
      button.disabled = false;
    }
  });
  dialog.className = "";
  fill(dialog, form);
  dialog.showModal();
}

function mark(inputs, field, text) {
  const found = inputs.find((each) => each.name === field || (each.covers ?? []).some((start) => field.startsWith(start)));
  found?.wrong(text);
  return Boolean(found);
}

function input({ name, label, type = "text", value = "", hint, options, wide, min, max, covers }) {
  const key = `field-${name}`;
  const control = options
    ? h("select", { id: key, name }, options.map(([option, text]) => h("option", { value: option, selected: option === value }, text)))
    : h("input", { id: key, name, type, value, min, max, step: type === "number" ? "1" : null, autocomplete: "off" });
  const wrong = h("span.wrong", { id: `${key}-wrong` });
  const described = [hint && `${key}-hint`, `${key}-wrong`].filter(Boolean).join(" ");
  control.setAttribute("aria-describedby", described);
  return {
    name, covers,
    element: h(`div.field${wide ? ".all" : ""}`, {}, h("label", { for: key }, label), control, hint && h("span.hint", { id: `${key}-hint` }, hint), wrong),
    value: () => (type === "number" && control.value !== "" ? Number(control.value) : control.value),
    wrong: (text) => { wrong.textContent = text; control.toggleAttribute("aria-invalid", false); if (text) control.setAttribute("aria-invalid", "true"); },
  };
}
