/* Small charts of the last minutes: an area or lines, without a library. */
import { h } from "./dom.js";

const WIDTH = 600, HEIGHT = 120;

/** Return a chart of `series`, lists of numbers or null, all drawn to the same scale; `label` describes it. */
export function chart(label, series, { area = true } = {}) {
  const most = nice(Math.max(...series.flat().filter((value) => value !== null), 1e-9));
  const x = (place, length) => (place / Math.max(length - 1, 1)) * WIDTH;
  const y = (value) => HEIGHT - (value / most) * (HEIGHT - 4);
  const parts = [0.5, 1].map((part) => h("line.grid", { x1: 0, x2: WIDTH, y1: y(most * part), y2: y(most * part) }));
  series.forEach((values, number) => {
    const line = path(values, x, y), first = values.findIndex((value) => value !== null);
    if (area && number === 0 && line) parts.push(h("path.area", { d: `M${x(first, values.length)} ${HEIGHT}${line.replaceAll("M", "L")}L${WIDTH} ${HEIGHT}Z` }));
    const kind = number ? ".second" : "";
    parts.push(h(`path.stroke${kind}`, { d: line }), h(`path.stroke.dots${kind}`, { d: dots(values, x, y) }));
  });
  return { most, element: h("svg.chart", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, ...parts) };
}

function path(values, x, y) {
  let drawn = "", pen = "M";
  values.forEach((value, place) => {
    if (value === null) { pen = "M"; return; }
    drawn += `${pen}${x(place, values.length).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  });
  return drawn;
}

/** Return the values without a neighbour, which a line does not show. */
function dots(values, x, y) {
  const alone = (value, place) => value !== null && (values[place - 1] ?? null) === null && (values[place + 1] ?? null) === null;
  return values.map((value, place) => (alone(value, place) ? `M${x(place, values.length).toFixed(1)} ${y(value).toFixed(1)}h0.01` : "")).join("");
}

function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}
