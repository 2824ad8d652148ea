// The landscape before and after one more sample, over planes through parameter space.

import { bands, colourBar } from "./colour_bar.js";
import { SCALES } from "./colours.js";
import { chains, segments } from "./contours.js";
import { axes, legend } from "./drawing.js";
import { choice, explorable, html } from "./explorable.js";
import { listOf, once } from "./planes.js";
import { fixed, general, howMany, scientific } from "./words.js";

const FINE = 8; // colours along the side of a cell
const QUANTITY = "squared change"; // what the colours show

/** For each plane its contour lines, as pieces x, y, x, y, and its change in numbers. */
export function numbers({ k, data }) {
  const row = data.ks.indexOf(k);
  const planes = Object.fromEntries(data.names.map((name) => [name, planeOf(data, name, row)]));
  const means = data.names.map((name) => planes[name].mean);
  return { planes, times: means.at(-1) ? means[0] / means.at(-1) : null };
}

const PLANES = new WeakMap(); // data -> plane and row -> its numbers
const PATHS = new WeakMap(); // pieces -> the path of the lines they join to

function planeOf(data, name, row) {
  return once(PLANES, data, `${name} ${row}`, () => planeAt(data, name, row));
}

function planeAt({ steps, planes }, name, row) {
  const { loss, increment, levels } = planes[name];
  const [before, change] = [listOf(loss[row]), listOf(increment[row])];
  const after = before.map((L, i) => L + change[i]);
  const lines = (Z) => levels.map((level) => segments(steps, Z, level));
  const middle = (before.length - 1) / 2;
  return {
    before: lines(before),
    after: lines(after),
    zero: segments(steps, change, 0),
    mean: change.reduce((sum, I) => sum + I * I, 0) / change.length,
    centre: [before[middle], after[middle]],
  };
}

/** The present state in words. */
export function sentence({ k, data: { names } }, { planes, times }) {
  const [before, after] = planes[names[0]].centre;
  const means = names.map((name) => `${scientific(planes[name].mean, 1)} in the ${name} plane`);
  const words =
    `k = ${k}: sample ${k + 1} changes the loss at the centre from ${fixed(before, 4)} to ` +
    `${fixed(after, 4)}. Mean squared change: ${means.join(" and ")}`;
  if (names.length === 1 || times === null) return `${words}.`;
  return `${words}, ${howMany(times)} times as much in the ${names[0]} one.`;
}

const controls = ({ data: { ks } }, set) => [
  choice({ name: "k", label: "k", meaning: "number of samples before", values: ks }, set),
];

// ---- picture ---------------------------------------------------------------------------------

/** A small map of one plane; all lie beside each other, on a phone too. */
function map(title, { steps }) {
  const reach = { range: [-steps.at(-1), steps.at(-1)], most: 3 };
  return axes({
    width: 220, height: 246, title, margin: { left: 42, right: 6, top: 26, bottom: 48 },
    x: { ...reach, label: "step x" }, y: { ...reach, label: "step y" },
  });
}

const LOOKS = {
  before: { colour: "blue", dash: "-", width: 1.6 },
  after: { colour: "orange", dash: "--", width: 1.6 },
};

/** Contour lines of L_k and L_{k+1} in one plane. */
function linesMap(name, data) {
  const plot = map(`${name} plane`, data);
  const pens = Object.entries(LOOKS).map(([when, look]) => [when, plot.line(`${name} ${when}`, look)]);
  plot.dots(`${name} centre`, { marker: "+" }).set([0], [0]);
  return {
    node: plot.node,
    draw(found) {
      for (const [when, pen] of pens) drawLines(pen, found[when], found[when]);
    },
  };
}

/** Draw the pieces of all levels as one line with gaps; its path, the same in each map, is made once. */
function drawLines(pen, levels, key) {
  const path = once(PATHS, key, "path", () => {
    const lines = levels.flatMap(chains);
    pen.set(...[0, 1].map((i) => lines.flatMap((line) => [...line.map((point) => point[i]), NaN])));
    return pen.node.getAttribute("d");
  });
  pen.node.setAttribute("d", path);
}

/** The squared change in one plane: a colour for each power of ten, a line where it is zero. */
function changeMap(name, data) {
  const plot = map(`${name} plane`, data);
  const { left, right, top, bottom } = plot.box;
  const fine = FINE * (data.steps.length - 1);
  const canvas = html("canvas", { className: "ln-map", width: fine, height: fine });
  const at = (value, whole) => `${(100 * value) / whole}%`;
  Object.assign(canvas.style, {
    left: at(left, 220), top: at(top, 246), width: at(right - left, 220), height: at(bottom - top, 246),
  });
  const zeros = [["#000", 3.6], ["#fff", 1.2]].map(([stroke, width]) => {
    const pen = plot.line(`${name} zero`, { width });
    pen.node.setAttribute("stroke", stroke);
    return pen;
  });
  const cross = `M${plot.x(0) - 6},${plot.y(0)}h12m-6,-6v12`;
  for (const [stroke, width] of [["#000", 4.5], ["#fff", 1.8]])
    plot.shape(`${name} centre`, "path", {
      d: cross, fill: "none", stroke, "stroke-width": width, "data-part": "dots",
    });
  const paint = painter(canvas, data);
  return {
    node: html("div", { className: "ln-over" }, canvas, plot.node),
    draw({ zero }, k) {
      for (const pen of zeros) drawLines(pen, [zero], zero);
      paint(listOf(data.planes[name].increment[data.ks.indexOf(k)]));
    },
  };
}

/** How to fill a canvas with the colours of squares, between the points of their grid too. */
function painter(canvas, { steps }) {
  const size = steps.length;
  const fine = canvas.width;
  const c = canvas.getContext("2d");
  const inks = Uint32Array.from(bands(QUANTITY), ([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r);
  const lowest = Math.round(Math.log10(SCALES[QUANTITY].limits[0]));
  // where |I| passes a root of a power of ten, its square passes that power
  const edges = Float64Array.from(inks.slice(1), (_, i) => 10 ** ((lowest + i + 1) / 2));
  const images = new WeakMap(); // the change at the points -> its colours
  const coloured = (change) => {
    const image = c.createImageData(fine, fine);
    const pixels = new Uint32Array(image.data.buffer);
    for (let v = 0; v < fine; v += 1) {
      const y = (fine - 0.5 - v) / FINE;
      const j = Math.floor(y);
      for (let i = 0; i < size - 1; i += 1) {
        const at = j * size + i;
        const low = change[at] + (y - j) * (change[at + size] - change[at]);
        const high = change[at + 1] + (y - j) * (change[at + size + 1] - change[at + 1]);
        for (let u = 0; u < FINE; u += 1) {
          const value = Math.abs(low + ((u + 0.5) / FINE) * (high - low));
          let band = 0;
          while (band < edges.length && value >= edges[band]) band += 1;
          pixels[v * fine + i * FINE + u] = inks[band];
        }
      }
    }
    return image;
  };
  return (change) => c.putImageData(once(images, change, "image", () => coloured(change)), 0, 0);
}

/** How far apart the lines are, in words. */
function spacing({ names, planes }) {
  const told = names.map((name) => {
    const { levels } = planes[name];
    const [one, two] = levels;
    const doubled = levels.every((level, i) => i === 0 || level === 2 * levels[i - 1]);
    const step = doubled ? "each twice as high as the one before" : `${general(two - one, 3)} apart`;
    return `in the ${name} plane ${levels.length > 1 ? `${step}, from` : "one at"} ${general(one, 3)}`;
  });
  return `Contour lines: ${told.join("; ")}.`;
}

function picture({ data }) {
  const lines = data.names.map((name) => linesMap(name, data));
  const changes = data.names.map((name) => changeMap(name, data));
  const entries = [
    { label: "Lₖ, before", ...LOOKS.before }, { label: "Lₖ₊₁, after one more sample", ...LOOKS.after },
    { label: "centre", marker: "+" },
  ];
  const group = (title, maps, ...below) =>
    html("div", { className: "ln-group" }, html("p", { className: "ln-heading" }, title),
      html("div", { className: "ln-maps" }, ...maps.map((map) => map.node)), ...below);
  const hint = (words) => html("p", { className: "ln-note" }, words);
  return {
    node: html("div", { className: "ln-panels" },
      group("Loss, before and after", lines, legend(entries), hint(spacing(data))),
      group("Squared change (Lₖ₊₁ − Lₖ)² [loss²]", changes,
        colourBar(QUANTITY, { steps: true, each: 2 }),
        hint("Each colour is a power of ten, the same in every picture of the course. The black line with a white core: no change at all."))),
    draw({ k }, { planes }) {
      data.names.forEach((name, i) => {
        lines[i].draw(planes[name]);
        changes[i].draw(planes[name], k);
      });
    },
  };
}

const purpose = () =>
  "A slider for the number of samples k, over the landscape before and after one more.";

export default explorable({ traits: ["k", "data"], purpose, controls, numbers, sentence, picture });
