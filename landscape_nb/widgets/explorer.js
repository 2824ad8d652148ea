// The criterion's parts against k, and what each probe sees of the full space, in closed form:
// value + sigma² cross + sigma² gradient + sigma⁴ curvature, with measured coefficients.

import { choice, explorable, sideBySide, slider } from "./explorable.js";
import { axes, legend } from "./drawing.js";
import { fixed, general, scientific } from "./words.js";

const PARTS = ["value", "cross", "gradient", "curvature"];
const CUT = 1.2; // a bar ends here at the latest; its number says how high it would be

/** A table's parts for the first D directions, at every k; with "_stderr" their standard errors. */
function moment(table, D, sigma, kind = "") {
  const s2 = sigma * sigma;
  const factors = { cross: s2, gradient: s2, curvature: s2 * s2 };
  const zero = table.value.map(() => 0);
  const found = { value: table["value" + kind] ?? zero };
  for (const [name, factor] of Object.entries(factors))
    found[name] = table[name + kind]?.map((row) => factor * row[D - 1]) ?? zero;
  const { value, cross, gradient, curvature } = found;
  found.total = value.map((v, i) => v + cross[i] + gradient[i] + curvature[i]);
  found.centred = gradient.map((v, i) => v + curvature[i]);
  return found;
}

/** The present k's row of the tables, or all rows. */
function rowsOf({ k, data: { ks } }) {
  return k === null ? ks.map((_, i) => i) : [ks.indexOf(k)];
}

function mean(values) {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}

/** A probe's share of the full space, and where it lies with each off by a standard error. */
function share([ours, error], [whole, wholeError], part, rows) {
  const [p, e, f, g] = [ours, error, whole, wholeError].map((found) => found[part]);
  const high = (i) => (f[i] > g[i] ? (p[i] + e[i]) / (f[i] - g[i]) : Infinity);
  return {
    ratio: mean(rows.map((i) => p[i] / f[i])),
    ends: [mean(rows.map((i) => (p[i] - e[i]) / (f[i] + g[i]))), mean(rows.map(high))],
  };
}

/** The first probe's parts at every k, and the raw and centred share of every probe. */
export function numbers(state) {
  const { D, sigma, data } = state;
  const rows = rowsOf(state);
  const both = (table, d) => ["", "_stderr"].map((kind) => moment(table, d, sigma, kind));
  const whole = both(data.full, 1);
  const probes = data.probes.map((table) => both(table, D));
  const first = probes[0][0];
  const found = { parts: {} };
  for (const name of ["total", ...PARTS]) found.parts[name] = first[name];
  for (const [name, part] of [["raw", "total"], ["centred", "centred"]]) {
    const shares = probes.map((probe) => share(probe, whole, part, rows));
    found[name] = shares.map(({ ratio }) => ratio);
    found[`${name}_errors`] = data.uncertain ? shares.map(({ ends }) => ends) : null;
  }
  return found;
}

/** Percent; small shares as powers of ten, so that they do not all read 0.0 %. */
function percent(x) {
  return Math.abs(x) >= 1e-3 || x === 0 ? `${fixed(100 * x, 1)} %` : scientific(x, 0);
}

/** A ratio in words, with its errors where they are large enough to show. */
function ratioWords(found, name, i, write) {
  const words = write(found[name][i]);
  if (!found[`${name}_errors`]) return words;
  const [low, high] = found[`${name}_errors`][i].map(write);
  if (low === high) return words;
  return high === "inf" ? `${words} (${low} or more)` : `${words} (${low} to ${high})`;
}

/** The present state in words. */
export function sentence(state, found) {
  const { D, sigma, k, data } = state;
  const row = k === null ? Math.floor(data.ks.length / 2) : rowsOf(state)[0];
  const total = found.parts.total[row];
  const shares = PARTS.map((name) => `${name} ${percent(total ? found.parts[name][row] / total : 0)}`);
  const seen = data.probes.map(({ name }, i) => {
    const raw = ratioWords(found, "raw", i, (x) => fixed(x, 3));
    const centred = ratioWords(found, "centred", i, (x) => general(x, 2));
    return `${name} raw ${raw}, centred ${centred}`;
  }).join("; ");
  const brackets = seen.includes("(") ? " In brackets: within a standard error." : "";
  const where = k === null ? "averaged over k" : "at this k";
  return (
    `D = ${D}, sigma = ${scientific(sigma, 1)}. At k = ${data.ks[row]} the criterion ` +
    `is ${scientific(total, 2)}: ${shares.join(", ")}. Share of the full-space criterion, ` +
    `${where}: ${seen}.${brackets}`
  );
}

function controls({ k, data: { ks, ranges } }, set) {
  const [low, high] = ranges.sigma.map(Math.log10);
  const sliders = [
    slider({
      name: "D", label: "D", meaning: "dimension of the probed subspace",
      low: ranges.D[0], high: ranges.D[1], step: 1, whole: true, text: String,
    }, set),
    slider({
      name: "sigma", label: "sigma", meaning: "standard deviation of the probe",
      low, high, step: 0.1, log: true, text: (value) => scientific(value, 1),
    }, set),
  ];
  if (k !== null)
    sliders.push(choice({
      name: "k", label: "k", meaning: "number of samples",
      values: ks, text: (value) => (value === null ? "all" : String(value)),
    }, set));
  return sliders;
}

/** Those of the ks that have room for their digits on a logarithmic axis. */
function spacedTicks(ks) {
  const apart = Math.log(1.44 * (ks.at(-1) / ks[0])) / 9;
  const kept = [];
  for (const k of ks) if (!kept.length || Math.log(k / kept.at(-1)) >= apart) kept.push(k);
  return kept;
}

const LOOKS = [
  { name: "total", label: "total", marker: "o", dash: "-" },
  { name: "value", label: "value", colour: "line", dash: "--", width: 3 },
  { name: "gradient", label: "gradient", colour: "blue", marker: "s", dash: "-" },
  { name: "curvature", label: "curvature", colour: "vermillion", marker: "^", dash: "-." },
];
const CROSS = { name: "cross", label: "cross", colour: "purple", marker: "D", dash: ":" };
const NEGATIVE = { ...CROSS, label: "cross, negative: its size", dash: undefined, hollow: true };

/** The left plot: the first probe's parts against k. */
function partsOf({ data: { ks, probes, heights } }) {
  const plot = axes({
    height: 350, title: `The criterion, probed in the ${probes[0].name} subspace`,
    x: { range: [ks[0] / 1.2, ks.at(-1) * 1.2], log: true, ticks: spacedTicks(ks), label: "number of samples k" },
    y: { range: heights, log: true, label: "part of the criterion [loss²]" },
  });
  const { left, top, bottom } = plot.box;
  const mark = plot.shape("k", "path", { stroke: "var(--ln-line)", "stroke-width": 3, opacity: 0.8 });
  const below = plot.words("below", { anchor: "start", dx: 6, dy: -8, colour: "quiet" });
  const lines = LOOKS.map((look) => plot.line(look.name, look));
  const cross = plot.line("cross", { ...CROSS, marker: undefined });
  const signs = { positive: plot.dots("cross positive", CROSS), negative: plot.dots("cross negative", NEGATIVE) };
  return {
    parts: [plot.node, legend([...LOOKS, CROSS, NEGATIVE])],
    draw(k, { parts }) {
      lines.forEach((line, i) => line.set(ks, parts[LOOKS[i].name]));
      cross.set(ks, parts.cross.map(Math.abs));
      signs.positive.set(ks, parts.cross.map((v) => (v > 0 ? v : NaN)));
      signs.negative.set(ks, parts.cross.map((v) => (v < 0 ? -v : NaN)));
      const hidden = PARTS.filter((name) => parts[name].every((v) => Math.abs(v) < heights[0]));
      const words = hidden.length ? `below this picture: ${hidden.join(", ")}` : "";
      below.set(plot.x.inverse(left), heights[0], words);
      mark.set({ d: k === null ? "" : `M${plot.x(k)},${top}L${plot.x(k)},${bottom}` });
    },
  };
}

const BARS = [
  { name: "raw", label: "raw", colour: "blue", shift: -0.2, bar: "outline" },
  { name: "centred", label: "centred (gradient + curvature)", colour: "blue", shift: 0.2, bar: "full" },
];

/** The right plot: what each probe sees, as bars. */
function sharesOf({ data: { probes, uncertain } }) {
  const n = probes.length;
  const plot = axes({
    height: 350, title: "What each probe sees",
    x: { range: [-0.6, n - 0.4], ticks: probes.map(({ name }, i) => [i, name]), label: "probe" },
    y: { range: [0, 1.3], ticks: [0, 0.5, 1], label: "share of the full-space criterion" },
  });
  plot.line("whole", { colour: "line", dash: ":", width: 1.4 }).set([-0.6, n - 0.4], [1, 1]);
  const bars = BARS.map((look) => probes.map((_, i) => bar(plot, look, i)));
  const error = { label: "within a standard error", whisker: true };
  return {
    parts: [plot.node, legend(uncertain ? [...BARS, error] : BARS)],
    draw(k, found) {
      const title = `What each probe sees, ${k === null ? "averaged over k" : `at k = ${k}`}`;
      if (plot.heading.textContent !== title) plot.heading.textContent = title;
      BARS.forEach(({ name }, j) =>
        bars[j].forEach((one, i) => one(found[name][i], found[`${name}_errors`]?.[i])));
    },
  };
}

/** A bar with its number and, where they can be seen, the ends of its standard error. */
function bar(plot, { name, colour, shift, bar: kind }, i) {
  const stroke = `var(--ln-${colour})`;
  const fill = kind === "full" ? stroke : "none";
  const [u, left, right] = [0, -0.17, 0.17].map((d) => plot.x(i + shift + d));
  const box = plot.shape(name, "rect", { x: left, width: right - left, fill, stroke, "stroke-width": 2 });
  const whisker = plot.shape(`${name} error`, "path", { fill: "none", stroke: "var(--ln-ink)", "stroke-width": 2 });
  const number = plot.words(`${name} number`, { dy: -5 });
  const shown = (height) => Math.max(0, Math.min(CUT, height));
  return (ratio, ends) => {
    const top = plot.y(shown(ratio));
    box.set({ y: top, height: plot.y(0) - top });
    const [low, high] = (ends ?? [ratio, ratio]).map(shown);
    const visible = high - low > 0.01;
    const [v, w] = [plot.y(low), plot.y(high)];
    const cap = (place) => `M${u - 5},${place}L${u + 5},${place}`;
    whisker.set({ d: visible ? `${cap(v)}M${u},${v}L${u},${w}${cap(w)}` : "" });
    const above = visible ? high : shown(ratio);
    // the line at 1 would cross it out
    number.set(i + shift, above > 0.91 && above < 1 ? 1 : above, barWords(ratio));
  };
}

function barWords(ratio) {
  const words = Math.abs(ratio) >= 0.005 ? fixed(ratio, 2) : scientific(ratio, 0);
  return ratio > CUT ? `↑ ${words}` : words; // the bar is cut
}

function picture(state) {
  const panels = [partsOf(state), sharesOf(state)];
  return {
    node: sideBySide(...panels.map(({ parts }) => parts)),
    draw: ({ k }, found) => panels.forEach((panel) => panel.draw(k, found)),
  };
}

const purpose = ({ k }) => (k === null ? "Sliders for D and sigma." : "Sliders for D, sigma and k.");

export default explorable({
  traits: ["D", "sigma", "k", "data"], purpose, controls, numbers, sentence, picture,
});
