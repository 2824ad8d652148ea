// Axes and marks in SVG. A plot is drawn once; then only what moves is set anew.
//
// Every tick carries the value it stands for (data-value) and every mark its name (data-mark), so
// that a reader of the page, or a test, can take the numbers back off the picture.

import { general, powerOfTen } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 66, right: 14, top: 32, bottom: 52 };
const LOADED = Math.random().toString(36).slice(2);
let named = 0;

/**
 * A name that nothing else in the page has. A notebook loads this module once for each kind of
 * explorable: a count alone would begin anew with each, and one be cut to the box of another.
 */
export function ownName(kind) {
  named += 1;
  return `ln-${kind}-${LOADED}-${named}`;
}

/** An SVG element with attributes; children may be elements or text. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * From data to user units along one axis, and back. `stretched` is for values of either sign and
 * very different size: even up to about so far from zero, beyond it as logarithms are (asinh).
 */
export function scale({ range: [low, high], log = false, stretched = 0 }, [start, end]) {
  const f = log ? Math.log10 : stretched ? (v) => Math.asinh(v / stretched) : (v) => v;
  const back = log ? (v) => 10 ** v : stretched ? (v) => stretched * Math.sinh(v) : (v) => v;
  const [a, b] = [f(low), f(high)];
  const at = (value) => start + ((f(value) - a) / (b - a)) * (end - start);
  at.inverse = (place) => back(a + ((place - start) / (end - start)) * (b - a));
  return at;
}

/** Ticks of an axis, [value, label] each: given ones, powers of ten, or round numbers. */
export function ticks({ range: [low, high], log = false, ticks: given, label: _, most = 6 }) {
  if (given) return given.map((tick) => (Array.isArray(tick) ? tick : [tick, general(tick)]));
  if (log) {
    const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
    const step = Math.ceil((last - first + 1) / most);
    const exponents = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    return exponents.filter((e) => e % step === 0).map((e) => [10 ** e, powerOfTen(e)]);
  }
  const raw = (high - low) / most;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * size).find((s) => s >= raw * (1 - 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1)
    found.push([i * step + 0, general(i * step + 0)]); // + 0: no -0
  return found;
}

/** The signs that stand for a curve's points: strokes through (x, y), about 4 units to each side. */
const MARKERS = {
  o: [Array.from({ length: 13 }, (_, i) => [4 * Math.cos((i * Math.PI) / 6), 4 * Math.sin((i * Math.PI) / 6)])],
  s: [[[-3.5, -3.5], [3.5, -3.5], [3.5, 3.5], [-3.5, 3.5], [-3.5, -3.5]]],
  "^": [[[0, -4.5], [4.5, 3.5], [-4.5, 3.5], [0, -4.5]]],
  v: [[[0, 4.5], [4.5, -3.5], [-4.5, -3.5], [0, 4.5]]],
  D: [[[0, -5], [5, 0], [0, 5], [-5, 0], [0, -5]]],
  x: [[[-4, -4], [4, 4]], [[-4, 4], [4, -4]]],
  "+": [[[-6, 0], [6, 0]], [[0, -6], [0, 6]]],
  ".": [[[0, 0], [0, 0]]], // as round as the ends of a stroke: cheap, for hundreds
};
const STROKES = "x+.";
export const DASHES = { "-": "none", "--": "7 4", ":": "2 3", "-.": "8 3 2 3" };

/** As few digits as a screen can show: long numbers cost time to write and to read. */
function short(v) {
  return Math.round(100 * v) / 100;
}

/** A path through points; outside the picture it may leave, far outside it is held. */
function pathOf(xs, ys, x, y) {
  let path = "";
  let pen = "M";
  for (let i = 0; i < xs.length; i += 1) {
    const [u, v] = [x(xs[i]), y(ys[i])];
    if (Number.isNaN(u) || Number.isNaN(v)) pen = "M"; // a gap
    else {
      path += `${pen}${short(hold(u))},${short(hold(v))}`;
      pen = "L";
    }
  }
  return path;
}

function hold(v) {
  return Math.max(-1e4, Math.min(1e4, v)); // the log of 0 is minus infinity
}

/**
 * A plot with axes.
 *
 * @param {object} options width, height (user units); title; x, y: {range, log, label, ticks}.
 * @returns {{node: SVGElement, box, x, y, line, dots, words, shape}} the plot and what draws on it.
 */
export function axes({ width = 420, height = 330, title = "", x: ax, y: ay, margin = MARGIN }) {
  const box = {
    left: margin.left,
    right: width - margin.right,
    top: margin.top,
    bottom: height - margin.bottom,
  };
  const x = scale(ax, [box.left, box.right]);
  const y = scale(ay, [box.bottom, box.top]);
  const clip = ownName("clip");
  const inside = svg("g", { "clip-path": `url(#${clip})`, class: "ln-marks" });
  const frame = svg("g", { class: "ln-axes" });
  const heading = svg("text", { x: (box.left + box.right) / 2, y: 18, class: "ln-title" }, title);
  const over = svg("g", { class: "ln-over" });
  const node = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "ln-plot", "aria-hidden": "true" },
    svg("defs", {}, svg("clipPath", { id: clip }, rectangle(box))),
    frame,
    inside,
    over,
    heading,
  );
  drawAxes(frame, box, ax, ay, x, y);
  return { node, box, x, y, heading, ...pens({ inside, over, x, y }) };
}

function rectangle({ left, right, top, bottom }) {
  return svg("rect", { x: left, y: top, width: right - left, height: bottom - top });
}

function drawAxes(frame, box, ax, ay, x, y) {
  frame.append(svg("path", { d: `M${box.left},${box.top}V${box.bottom}H${box.right}` }));
  for (const [value, label] of ticks(ax)) {
    const u = short(x(value));
    frame.append(
      svg("path", { d: `M${u},${box.bottom}v5`, "data-axis": "x", "data-value": value }),
      svg("text", { x: u, y: box.bottom + 21, "text-anchor": "middle" }, label),
    );
  }
  for (const [value, label] of ticks(ay)) {
    const v = short(y(value));
    frame.append(
      svg("path", { d: `M${box.left},${v}h-5`, "data-axis": "y", "data-value": value }),
      svg("text", { x: box.left - 8, y: v + 5, "text-anchor": "end" }, label),
    );
  }
  const [u, v] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  frame.append(
    svg("text", { x: u, y: box.bottom + 44, class: "ln-label" }, ax.label ?? ""),
    svg("text", { transform: `translate(15,${v}) rotate(-90)`, class: "ln-label" }, ay.label ?? ""),
  );
}

/** What draws on a plot: each pen makes a mark and returns how to set it. */
function pens({ inside, over, x, y }) {
  const look = ({ colour = "ink", dash = "-", width = 1.8 }) => ({
    fill: "none",
    stroke: `var(--ln-${colour})`,
    "stroke-width": width,
    "stroke-dasharray": DASHES[dash],
    "stroke-linejoin": "round",
  });

  /** A line through points, with a marker at each if wanted. `every`: a marker at each so-many-th. */
  function line(name, options = {}) {
    const path = svg("path", { ...look(options), "data-mark": name });
    const points = options.marker ? dots(name, { ...options, part: "points" }) : null;
    inside.append(path);
    return {
      node: path,
      set(xs, ys) {
        path.setAttribute("d", pathOf(xs, ys, x, y));
        points?.set(xs, ys, options.every ?? 1);
      },
    };
  }

  /** Markers at points. */
  function dots(name, { colour = "ink", marker = "o", size = 1, hollow = false, part = "dots" }) {
    const open = hollow || STROKES.includes(marker);
    const node = svg("path", {
      "data-mark": name,
      "data-part": part,
      fill: open ? "none" : `var(--ln-${colour})`,
      stroke: `var(--ln-${colour})`,
      "stroke-width": marker === "." ? 5 * size : STROKES.includes(marker) ? 2.2 : 1.2,
      "stroke-linecap": marker === "." ? "round" : "butt",
    });
    inside.append(node);
    return {
      node,
      set(xs, ys, every = 1) {
        let d = "";
        for (let i = 0; i < xs.length; i += every) {
          const [u, v] = [x(xs[i]), y(ys[i])];
          if (Number.isFinite(u) && Number.isFinite(v) && Math.abs(u) < 1e4 && Math.abs(v) < 1e4)
            d += marked(marker, u, v, size);
        }
        node.setAttribute("d", d);
      },
    };
  }

  /** Words at a place in data units; `dx`, `dy` in user units. */
  function words(name, { colour = "ink", anchor = "middle", dx = 0, dy = 0, clipped = false } = {}) {
    const node = svg("text", { "data-mark": name, "text-anchor": anchor, fill: `var(--ln-${colour})` });
    (clipped ? inside : over).append(node);
    return {
      node,
      set(u, v, text) {
        node.setAttribute("x", short(hold(x(u) + dx)));
        node.setAttribute("y", short(hold(y(v) + dy)));
        if (node.textContent !== text) node.textContent = text;
      },
    };
  }

  /** Any SVG shape, in user units, behind the axes' edge. */
  function shape(name, tag, attributes) {
    const node = svg(tag, { "data-mark": name, ...attributes });
    inside.append(node);
    return {
      node,
      set(changes) {
        for (const [key, value] of Object.entries(changes))
          node.setAttribute(key, typeof value === "number" ? short(hold(value)) : value);
      },
    };
  }
  return { line, dots, words, shape };
}

/** A marker at its place: one path holds all of a curve's, which browsers draw fastest. */
function marked(marker, u, v, size = 1) {
  const point = ([dx, dy]) => `${short(u + size * dx)},${short(v + size * dy)}`;
  return MARKERS[marker].map((stroke) => `M${stroke.map(point).join("L")}`).join("");
}

/** What each dash, marker and colour means: [{name, label, colour, dash, marker}] as a list. */
export function legend(entries) {
  const list = document.createElement("ul");
  list.className = "ln-legend";
  for (const { label, colour = "ink", dash, marker, hollow = false, width = 1.8, ...bars } of entries) {
    const sample = svg("svg", { viewBox: "0 0 34 14", width: 34, height: 14, "aria-hidden": "true" });
    const stroke = `var(--ln-${colour})`;
    if (dash)
      sample.append(
        svg("path", { d: "M1,7H33", stroke, "stroke-width": width, "stroke-dasharray": DASHES[dash] }),
      );
    if (marker)
      sample.append(
        svg("path", {
          d: marked(marker, 17, 7),
          fill: hollow || STROKES.includes(marker) ? "none" : stroke,
          stroke,
          "stroke-width": marker === "." ? 5 : STROKES.includes(marker) ? 2.2 : 1.2,
          "stroke-linecap": marker === "." ? "round" : "butt",
        }),
      );
    if (bars.bar || bars.whisker) sample.append(barSample({ stroke, ...bars }));
    const item = document.createElement("li");
    item.append(sample, label);
    list.append(item);
  }
  return list;
}

/** A bar ("full" or "outline"), or what tells its error, beside the words that name it. */
function barSample({ stroke, bar, whisker }) {
  const looks = { fill: bar === "full" ? stroke : "none", stroke, "stroke-width": 2 };
  if (whisker) return svg("path", { d: "M12,1h10M17,1V13M12,13h10", ...looks });
  return svg("rect", { x: 9, y: 1, width: 16, height: 12, ...looks });
}
