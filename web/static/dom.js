/* Create elements from names, attributes and children; text is always inserted as text, never as markup. */

const SVG = new Set(["svg", "path", "rect", "line", "g", "text", "title", "circle", "polyline"]);

/** Return an element: `h("a.tag", {href: "…", onclick: f}, "text", child)`; null and false children are left out. */
export function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.setAttribute("class", [...classes, value].join(" ").trim());
    else if (key === "value") element.value = value;
    else if (key === "style") Object.assign(element.style, value); // the CSP forbids the attribute
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replace the children of `parent` by `children` where they differ; focus and a click in progress survive. Only for
 * elements without event handlers. */
export function renew(parent, ...children) {
  merge(parent, fill(parent.cloneNode(false), ...children));
  return parent;
}

function merge(old, fresh) {
  const nodes = [...fresh.childNodes];
  if (old.childNodes.length !== nodes.length) { old.replaceChildren(...nodes); return; }
  nodes.forEach((node, place) => {
    const there = old.childNodes[place];
    if (there.isEqualNode(node)) return;
    if (node.hasChildNodes() && there.cloneNode(false).isEqualNode(node.cloneNode(false))) merge(there, node);
    else there.replaceWith(node);
  });
}

/** Replace the children of `parent`. */
export function fill(parent, ...children) {
  parent.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return parent;
}
