// Which digit comes next? Ten unseen ones to choose from; the increment, the slice, the parts of the
// criterion and the place among all follow from tables of exact losses and derivatives.

import { explorable, html, sideBySide, slider } from "./explorable.js";
import { axes, legend, ownName } from "./drawing.js";
import { fixed, general, scientific } from "./words.js";

const PARTS = ["value", "cross", "gradient", "curvature"];
const SHARES = [-0.5, 1.5]; // ends of the axis of shares: larger ones end with the picture

const sum = (values) => values.reduce((one, other) => one + other, 0);

/** KG26 Eq. 15 with the first D directions; a is the increment at the solution. */
function partsOf(a, { c, B }, D, sigma) {
  const s2 = sigma * sigma;
  const [first, square] = [c.slice(0, D), B.slice(0, D).map((row) => row.slice(0, D))];
  const trace = sum(square.map((row, i) => row[i]));
  const frobenius = sum(square.map((row) => sum(row.map((v) => v * v))));
  return {
    value: a * a,
    cross: a * s2 * trace,
    gradient: s2 * sum(first.map((v) => v * v)),
    curvature: ((s2 * s2) / 4) * (2 * frobenius + trace * trace),
  };
}

/** Increment, slice after the digit, parts of the criterion, share among all unseen. */
export function numbers({ digit, D, sigma, data: { k, before, digits, squares } }) {
  const its = digits[digit].slice;
  const middle = (its.length - 1) / 2;
  const increment = (its[middle] - before[middle]) / (k + 1);
  const parts = partsOf(increment, digits[digit], D, sigma);
  const total = sum(Object.values(parts));
  const shares = Object.fromEntries(PARTS.map((name) => [name, total ? parts[name] / total : 0]));
  return {
    increment, loss: its[middle], before: before[middle],
    after: before.map((mean, j) => (k * mean + its[j]) / (k + 1)),
    parts, total, shares, carried: (increment * (k + 1)) ** 2 / squares,
  };
}

const article = (digit) => (digit === 8 ? `an ${digit}` : `a ${digit}`);
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const lossOf = (one) => one.slice[(one.slice.length - 1) / 2];
const seenAs = ({ label, taken }) => (taken === label ? "recognised" : `taken for ${article(taken)}`);

function percent(share) {
  const value = 100 * share;
  return Math.abs(value) < 0.05 ? "0.0 %" : `${fixed(value, 1)} %`;
}

/** The present state in words. */
export function sentence({ digit, D, sigma, data: { k, digits, losses } }, found) {
  const one = digits[digit];
  const m = losses.length;
  const who = `${capital(article(one.label))}, ${seenAs(one)} (probability ${fixed(one.p, 2)})`;
  const told = PARTS.map((name) => `${name} ${percent(found.shares[name])}`).join(", ");
  const after = found.after[(found.after.length - 1) / 2];
  return (
    `${who}, loss ${general(found.loss, 2)}: number ${one.rank} of ${m} unseen, easiest first. ` +
    `As sample ${k + 1} it moves the mean loss at the solution from ${general(found.before, 4)} ` +
    `to ${general(after, 4)}: increment I = (${general(found.loss, 2)} - ` +
    `${general(found.before, 2)}) / ${k + 1} = ${general(found.increment, 2)}. It carries ` +
    `${percent(found.carried)} of the squared increments of all ${m}. A random step of ` +
    `${scientific(sigma, 1)} in each of ${D} directions sees ${scientific(found.total, 1)} loss² ` +
    `of change: ${told}.`
  );
}

/** The digits come first: they are what there is to choose. */
const controls = ({ data }, set) => [imagesOf(data, set)];

/** The probe's sliders; they stand beside the bars that follow them. */
function probeOf({ ranges }, set) {
  const [low, high] = ranges.sigma.map(Math.log10);
  const what = "The probe: a random step of size sigma in each of the D sharpest directions.";
  const sliders = [
    slider({
      name: "D", label: "D", meaning: "how many directions the probe has",
      low: ranges.D[0], high: ranges.D[1], step: 1, whole: true, text: String,
    }, set),
    slider({
      name: "sigma", label: "sigma", meaning: "standard deviation of the probe in each direction",
      low, high, step: 0.05, log: true, text: (value) => scientific(value, 1),
    }, set),
  ];
  return {
    parts: [html("p", { className: "ln-note" }, what), ...sliders.map(({ node }) => node)],
    draw: (state) => sliders.forEach((one) => one.show(state)),
  };
}

function picture({ data }, set) {
  const panels = [sliceOf(data), stripOf(data), barsOf(), probeOf(data, set)];
  return {
    node: sideBySide(...panels.map(({ parts }) => parts)),
    draw: (state, found) => panels.forEach(({ draw }) => draw(state, found)),
  };
}

/** The ten digits as radio buttons: the arrow keys go from one to the next. */
function imagesOf({ digits, ranges }, set) {
  const group = ownName("next"); // of these radio buttons alone
  const all = digits.map((one, digit) => imageOf(one, digit, group, set));
  const half = digits.length / 2;
  const row = (title, some) => html(
    "div",
    {},
    html("div", { className: "ln-row-title" }, title),
    html("div", { className: "ln-digits" }, ...some.map(({ node }) => node)),
  );
  const node = html(
    "fieldset",
    { className: "ln-fieldset" },
    html("legend", {}, "Which digit comes next?"),
    html(
      "div",
      { className: "ln-rows" },
      row(`The ${half} easiest: label, what the network says, loss`, all.slice(0, half)),
      row(`The ${half} hardest`, all.slice(half)),
    ),
  );
  return {
    node,
    ends: digits.map((_, digit) => ({ digit, D: ranges.D[1], sigma: ranges.sigma[0] })),
    show({ digit }) {
      all.forEach(({ input }, i) => (input.checked = i === digit));
    },
  };
}

function imageOf(one, digit, group, set) {
  const loss = general(lossOf(one), 2);
  const input = html("input", {
    type: "radio", name: group, value: String(digit),
    "aria-label": `${article(one.label)}, ${seenAs(one)}, loss ${loss}`,
  });
  input.addEventListener("change", () => set({ digit }));
  const node = html(
    "label",
    { className: "ln-digit" },
    input,
    pixels(one.image),
    html("span", { "aria-hidden": "true" }, `label ${one.label}`),
    html("span", { "aria-hidden": "true" }, `says ${one.taken}`),
    html("small", { "aria-hidden": "true" }, loss),
  );
  node.dataset.digit = digit;
  return { node, input };
}

/** An 8 x 8 image with whole grey values, 0 paper to 16 ink. */
function pixels(image) {
  const side = Math.sqrt(image.length);
  const node = html("canvas", { width: side, height: side, "aria-hidden": "true" });
  const shades = new ImageData(side, side);
  image.forEach((ink, i) => shades.data.set([...Array(3).fill(255 - (255 * ink) / 16), 255], 4 * i));
  node.getContext("2d").putImageData(shades, 0, 0);
  return node;
}

/** The mean loss along the sharpest direction, before and after. */
function sliceOf({ k, steps, before, digits }) {
  // the same axis for all ten, so that they can be compared
  const top = Math.max(...digits.flatMap((one) => before.map((v, j) => (k * v + one.slice[j]) / (k + 1))));
  const plot = axes({
    title: " ",
    x: { range: [steps[0], steps.at(-1)], label: "step along the sharpest direction" },
    y: { range: [0, 1.05 * Math.max(top, ...before)], label: "mean loss" },
  });
  const looks = [
    { name: "before", label: `before, ${k} samples`, dash: "-", marker: "o", every: 1e9 },
    { name: "after", label: `after, ${k + 1} samples`, colour: "vermillion", dash: "--", marker: "D", width: 2.2 },
  ];
  const line = (look) => plot.line(look.name, { ...look, marker: undefined });
  line(looks[0]).set(steps, before);
  const after = line(looks[1]);
  const at = plot.line("increment", { colour: "vermillion", width: 2.4 });
  plot.dots("solution", { marker: "o" }).set([0], [before[(before.length - 1) / 2]]);
  const moved = plot.dots("moved", { colour: "vermillion", marker: "D" });
  return {
    parts: [plot.node, legend(looks)],
    draw(_, found) {
      const high = found.before + found.increment;
      after.set(steps, found.after);
      at.set([0, 0], [found.before, high]);
      moved.set([0], [high]);
      plot.heading.textContent = `The landscape before and after: I = ${general(found.increment, 2)}`;
    },
  };
}

/** Shares of what the probe sees as bars. */
function barsOf() {
  const rows = PARTS.map((name, i) => [PARTS.length - i, name]);
  const plot = axes({
    title: " ", margin: { left: 84, right: 14, top: 32, bottom: 52 },
    x: { range: SHARES, ticks: [-0.5, 0, 0.5, 1], label: "share of the squared change" },
    y: { range: [0.4, PARTS.length + 0.6], ticks: rows },
  });
  const bars = rows.map(([row, name]) =>
    plot.shape(name, "rect", { y: plot.y(row + 0.3), height: plot.y(row - 0.3) - plot.y(row + 0.3), fill: "var(--ln-blue)" }),
  );
  plot.line("zero", { width: 1 }).set([0, 0], [0, 9]);
  const words = rows.map(([, name]) => plot.words(`${name}-share`, { anchor: "start", dx: 6, dy: 5 }));
  return {
    parts: [plot.node],
    draw(_, { shares, total }) {
      plot.heading.textContent = `What a probe sees: ${scientific(total, 1)} loss²`;
      rows.forEach(([row, name], i) => {
        const end = Math.max(SHARES[0], Math.min(1.2, shares[name]));
        const [u, v] = [plot.x(Math.min(0, end)), plot.x(Math.max(0, end))];
        bars[i].set({ x: u, width: v - u });
        words[i].set(Math.max(0, end), row, percent(shares[name]));
      });
    },
  };
}

/** All unseen losses in order, and the chosen digit among them. */
function stripOf({ losses, digits }) {
  const m = losses.length;
  const plot = axes({
    title: `All ${m} unseen digits, and this one`,
    x: { range: [1 - 0.02 * m, 1.02 * m], label: "unseen digits, from easiest to hardest" },
    y: { range: [0, 1.08 * losses.at(-1) || 1], label: "loss" },
  });
  plot.line("losses", {}).set(losses.map((_, i) => i + 1), losses);
  const drop = plot.line("drop", { colour: "vermillion", dash: ":" });
  const mark = plot.dots("chosen", { colour: "vermillion", marker: "D", size: 1.3 });
  const name = plot.words("chosen-loss", { dy: -10 });
  return {
    parts: [plot.node],
    draw({ digit }, { loss }) {
      const { rank } = digits[digit];
      drop.set([rank, rank], [0, loss]);
      mark.set([rank], [loss]);
      name.node.setAttribute("text-anchor", rank > m / 2 ? "end" : "start");
      name.set(rank, loss, `loss ${general(loss, 2)}, number ${rank}`);
    },
  };
}

const purpose = () => "Ten unseen digits to choose from, and sliders for D and sigma.";

export default explorable({
  traits: ["digit", "D", "sigma", "data"], purpose, controls, numbers, sentence, picture,
});
