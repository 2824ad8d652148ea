// How much data is enough: the criterion's curve under a tolerance that can be dragged. The band of
// the mean is a table of logarithms; K and its interval are where the tolerance crosses it.

import { explorable, html, slider } from "./explorable.js";
import { axes, legend } from "./drawing.js";
import { fixed, general, scientific } from "./words.js";

const SIZE = { width: 440, height: 360, margin: { left: 66, right: 56, top: 32, bottom: 52 } };
const STEP = 0.05; // of the slider, in decades

/** Whether each of an edge's points lies below the tolerance; Python has found from which one on. */
const below = ({ above }, tolerance) => above.map((first) => first !== null && tolerance >= first);

/** Where a line in log k, from k_j to the next, comes down to the tolerance. */
function between(ks, { logs }, j, tolerance) {
  const share = (logs[j] - Math.log(tolerance)) / (logs[j] - logs[j + 1]);
  return ks[j] * (ks[j + 1] / ks[j]) ** share;
}

/** Whole samples, less a hair of rounding; null: not reached. */
const roundedUp = (k) => (k === null ? null : Math.ceil(k * (1 - 1e-12)));

/** From which k on an edge stays below the tolerance. */
function lastCrossing(ks, edge, tolerance) {
  const j = below(edge, tolerance).lastIndexOf(false);
  if (j < 0) return ks[0];
  if (j === ks.length - 1) return null;
  if (edge.logs[j] === null || edge.logs[j + 1] === null) return ks[j + 1]; // no slope
  return between(ks, edge, j, tolerance);
}

/** The first k that an edge does not exclude. */
function maySettle(ks, edge, tolerance) {
  const under = below(edge, tolerance);
  if (!under.at(-1)) return null;
  const j = under.indexOf(true);
  if (j === 0) return ks[0];
  return edge.logs[j] === null ? ks[j - 1] : between(ks, edge, j - 1, tolerance);
}

/** K and its interval, null for *not reached*; K of a tolerance ten times stricter. */
export function numbers({ tolerance, data: { ks, band } }) {
  return {
    K: roundedUp(lastCrossing(ks, band.mean, tolerance)),
    low: roundedUp(maySettle(ks, band.low, tolerance)),
    high: roundedUp(lastCrossing(ks, band.high, tolerance)),
    stricter: roundedUp(lastCrossing(ks, band.mean, tolerance / 10)),
  };
}

/** A number of samples as EnoughData writes it. */
function inWords(k, ks) {
  if (k === null) return `not reached by ${ks.at(-1)}`;
  return k === ks[0] ? `before ${k}` : String(k);
}

function interval({ K, low, high }, { ks, level }) {
  const [at, from, to] = [K, low, high].map((k) => inWords(k, ks));
  const ends = at === from && from === to ? "" : `: ${from} to ${to}`;
  return `${at} (${general(100 * level)} %${ends})`;
}

function verdict(found, data) {
  const [first, last] = [data.ks[0], data.ks.at(-1)];
  const lead = found.K === null ? "" : found.K === first ? "enough " : "enough at ";
  let rest = "";
  if (found.low === null) rest = ` Not even ${last} samples are enough.`;
  else if (found.high === null) rest = ` Whether ${last} samples are enough is open: measure on.`;
  return `${lead}${interval(found, data)}.${rest}`;
}

function price({ K, stricter }, { ks }) {
  const found = `Ten times stricter: ${inWords(stricter, ks)}`;
  if (K === null || stricter === null || K === ks[0]) return `${found}.`;
  return `${found}, ${fixed(stricter / K, 1)} times as many.`;
}

/** The present state in words. */
export function sentence({ tolerance, data }, found) {
  const root = ` (one more sample moves the loss by about ${general(tolerance ** 0.5, 2)})`;
  const which = `Tolerance ${scientific(tolerance, 1)} ${data.unit}`;
  const squared = data.unit === "loss²" ? root : "";
  return `${which}${squared}: ${verdict(found, data)} ${price(found, data)}`;
}

function controls({ data: { ranges, unit } }, set) {
  const [low, high] = ranges.tolerance.map(Math.log10);
  return [
    slider({
      name: "tolerance", label: "tolerance", meaning: `largest change that is small enough, in ${unit}`,
      low, high, step: STEP, log: true, text: (value) => scientific(value, 1),
    }, set),
  ];
}

/** As many of the k as have room for their labels on a log axis. */
function ticksOf(ks) {
  const kept = [];
  const room = Math.log(ks.at(-1) / ks[0]) / 8;
  for (const k of ks) if (!kept.length || Math.log(k / kept.at(-1)) >= room) kept.push(k);
  return kept;
}

function picture({ data }, set) {
  const { ks, curves, band, level, unit, ranges } = data;
  const ends = [ks[0] / 1.15, ks.at(-1) * 1.15];
  const plot = axes({
    ...SIZE, title: "From which k on is the change small enough?",
    x: { range: ends, log: true, ticks: ticksOf(ks), label: "number of samples k" },
    y: { range: ranges.tolerance, log: true, label: `criterion Δ(k) [${unit}]` },
  });
  const looks = {
    run: { name: "run", label: "runs", colour: "line", dash: "-", width: 0.9 },
    edge: { name: "edge", label: `${general(100 * level)} % band of the mean`, colour: "blue", dash: ":" },
    mean: { name: "mean", label: "mean", dash: "-", marker: "o" },
    tolerance: { name: "tolerance", label: "tolerance: drag it", colour: "vermillion", dash: "--", width: 2.4 },
    K: { name: "K", label: "K, and its interval on the k axis", marker: "D" },
  };
  const [mean, low, high] = ["mean", "low", "high"].map((name) => heights(band[name]));
  plot.shape("band", "path", {
    d: outline(plot, ks, low, high), fill: "var(--ln-blue)", "fill-opacity": 0.15,
  });
  for (const run of curves) plot.line("run", looks.run).set(ks, run);
  for (const edge of [low, high]) plot.line("edge", looks.edge).set(ks, edge);
  plot.line("mean", looks.mean).set(ks, mean);
  const foot = plot.y.inverse(plot.box.bottom - 9);
  const line = plot.line("tolerance", looks.tolerance);
  const within = plot.line("interval", { colour: "blue", width: 6 });
  const drop = plot.line("drop", { dash: ":", width: 1.2 });
  const K = plot.dots("K", { marker: "D", size: 1.2 });
  const name = plot.words("K-name", { anchor: "start" });
  const handle = dragged(plot, ranges.tolerance, set);
  const stage = html("div", { className: "ln-stage" }, plot.node, handle.node);
  const named = Object.values(looks).slice(curves.length > 1 ? 0 : 1); // one curve is no run
  return {
    node: html("div", { className: "ln-panel ln-wide" }, stage, legend(named)),
    draw({ tolerance }, found) {
      line.set(ends, [tolerance, tolerance]);
      handle.show(tolerance);
      const reached = found.K === null ? [] : [found.K, found.K];
      const at = [tolerance, foot].slice(0, reached.length);
      drop.set(reached, at);
      K.set(reached, at);
      const span = spanOf(found, ks, ends);
      within.set(span, span.map(() => foot));
      const right = found.K === null || found.K > ks[0] * (ks.at(-1) / ks[0]) ** 0.65;
      name.node.setAttribute("text-anchor", right ? "end" : "start");
      const u = found.K === null ? plot.x.inverse(plot.box.right - 2) : found.K;
      const place = plot.x.inverse(plot.x(u) + (found.K === null ? 0 : right ? -9 : 9));
      name.set(place, plot.y.inverse(plot.box.bottom - 18), namedK(found, ks));
    },
  };
}

const namedK = ({ K }, ks) => (K === null || K === ks[0] ? `K ${inWords(K, ks)}` : `K = ${K}`);

/** An edge's heights: infinite ones leave the picture. */
function heights({ logs, above }) {
  return logs.map((log, j) => (log !== null ? Math.exp(log) : above[j] === 0 ? 0 : Infinity));
}

function outline({ x, y }, ks, low, high) {
  const hold = (v) => Math.max(-1e4, Math.min(1e4, v)).toFixed(2);
  const point = (edge) => (k, j) => `${hold(x(k))},${hold(y(edge[j]))}`;
  return `M${[...ks.map(point(high)), ...ks.map(point(low)).reverse()].join("L")}Z`;
}

/** The interval's ends on the k axis; an open one runs out of the picture. */
function spanOf({ low, high }, ks, [left, right]) {
  if (low === null) return [];
  return [low === ks[0] ? left : low, high === null ? right : high === ks[0] ? ks[0] : high];
}

/**
 * The tolerance's line as a thing to drag: a strip for the mouse, at its end a knob for the finger
 * and for keys. A finger on the strip scrolls the page, as it does elsewhere.
 */
function dragged({ node: plot, y, box }, [low, high], set) {
  const knob = html("span", {
    className: "ln-knob", role: "slider", tabIndex: 0, "aria-orientation": "vertical",
    "aria-label": "tolerance, the dashed line",
    "aria-valuemin": Math.log10(low), "aria-valuemax": Math.log10(high), // 1e-8 is no number there
  }, "↕");
  const node = html("div", { className: "ln-strip" }, knob);
  node.style.left = `${(100 * box.left) / SIZE.width}%`;
  let shown = low;
  const move = (value) => {
    shown = Math.max(low, Math.min(high, value)); // two keys may come between two frames
    set({ tolerance: shown });
  };
  // the slider's own places, so that both ways lead to the same numbers
  const step = (steps) => {
    const place = STEP * (Math.round(Math.log10(shown) / STEP) + steps);
    move(Number((10 ** Number(place.toFixed(9))).toPrecision(12)));
  };
  const keys = {
    ArrowUp: () => step(1), ArrowRight: () => step(1), ArrowDown: () => step(-1), ArrowLeft: () => step(-1),
    PageUp: () => step(10), PageDown: () => step(-10), Home: () => move(low), End: () => move(high),
  };
  knob.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  let grip = null; // how far from the line it was taken, in the plot's units
  const under = (event) => {
    const { top, height } = plot.getBoundingClientRect();
    return ((event.clientY - top) / height) * SIZE.height;
  };
  node.addEventListener("pointerdown", (event) => {
    if (event.button || (event.pointerType !== "mouse" && event.target !== knob)) return;
    event.preventDefault(); // no text is marked
    knob.focus({ preventScroll: true });
    node.setPointerCapture(event.pointerId);
    grip = under(event) - y(shown);
  });
  node.addEventListener("pointermove", (event) => {
    if (grip !== null) move(Number(y.inverse(under(event) - grip).toPrecision(3)));
  });
  for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => (grip = null));
  return {
    node,
    show(tolerance) {
      shown = tolerance;
      node.style.top = `${(100 * y(tolerance)) / SIZE.height}%`;
      knob.setAttribute("aria-valuenow", Math.log10(tolerance));
      knob.setAttribute("aria-valuetext", scientific(tolerance, 1));
    },
  };
}

const purpose = () => "A slider for the tolerance, and a line to drag, over the enough-data curve.";

export default explorable({
  traits: ["tolerance", "data"], purpose, controls, numbers, sentence, picture,
});
