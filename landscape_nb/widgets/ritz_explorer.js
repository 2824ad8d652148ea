// Ritz values closing in on a spectrum: m steps of one Lanczos run.

import { explorable, sideBySide, slider } from "./explorable.js";
import { axes, legend } from "./drawing.js";
import { play } from "./play.js";
import { general } from "./words.js";

const STROKE = [0, 0.5]; // where the strokes of the true eigenvalues begin and end
const ROWS = { converged: 0.6, others: 0.86 }; // heights of the Ritz values
const SIZES = [1e-12, 3]; // ends of the axis of errors

/** How many at the beginning of a list have converged. */
function leading(flags) {
  const end = flags.indexOf(false);
  return end < 0 ? flags.length : end;
}

/** Ritz values by whether they have converged, how many at each end, and what is missed. */
export function numbers({ m, tolerance, data: { ritz, residuals, missed } }) {
  const here = m - 1;
  const converged = residuals[here].map((residual) => residual < tolerance);
  const upper = leading([...converged].reverse());
  return {
    converged: ritz[here].filter((_, i) => converged[i]),
    others: ritz[here].filter((_, i) => !converged[i]),
    upper,
    lower: leading(converged.slice(0, m - upper)),
    residual: residuals[here].at(-1),
    largest: missed.largest[here],
    smallest: missed.smallest[here],
  };
}

function size(error) {
  return error === 0 ? "no more than rounding" : general(error, 2);
}

/** The present state in words. */
export function sentence({ m, tolerance }, { upper, lower, residual, largest, smallest }) {
  return (
    `After m = ${m} steps ${upper} of the ${m} Ritz values have ` +
    `converged at the upper end and ${lower} at the lower end: residual below ` +
    `${general(tolerance, 2)}. The largest eigenvalue is missed by ` +
    `${size(largest)} (residual: ${size(residual)}), the smallest by ${size(smallest)}.`
  );
}

function controls({ data: { ranges } }, set) {
  const [low, high] = ranges.tolerance.map(Math.log10);
  return [
    slider({
      name: "m", label: "steps m", meaning: "number of Lanczos steps",
      low: ranges.m[0], high: ranges.m[1], step: 1, whole: true, text: String,
    }, set),
    play({ name: "m", from: ranges.m[0], to: ranges.m[1], interval: 150 }, set),
    slider({
      name: "tolerance", label: "tolerance", meaning: "residual below which a pair has converged",
      low, high, step: 1, log: true, text: (value) => general(value, 2),
    }, set),
  ];
}

function picture({ data }) {
  const panels = [spectrum(data), errors(data)];
  return {
    node: sideBySide(...panels.map(({ parts }) => parts)),
    draw: (state, found) => panels.forEach(({ draw }) => draw(state, found)),
  };
}

/** Strokes for the true eigenvalues, circles for the Ritz values in one of two rows. */
function spectrum({ true: values }) {
  const [high, low] = [values[0], values.at(-1)];
  const edge = 0.04 * (high - low);
  const plot = axes({
    height: 300, title: "Ritz values over the true spectrum",
    margin: { left: 92, right: 14, top: 32, bottom: 52 },
    x: { range: [low - edge, high + edge], label: "eigenvalue" },
    y: { range: [0, 1], ticks: [[0.25, "true"], [ROWS.converged, "converged"], [ROWS.others, "not yet"]] },
  });
  plot.line("true", { colour: "line", width: 0.8 }).set(
    values.flatMap((value) => [value, value, NaN]), values.flatMap(() => [...STROKE, NaN]),
  );
  const looks = [
    { name: "converged", label: "Ritz value, converged", colour: "blue", marker: "o" },
    { name: "others", label: "Ritz value, not yet", colour: "vermillion", marker: "o", hollow: true },
  ];
  const rows = looks.map((look) => plot.dots(look.name, { ...look, size: 1.2 }));
  return {
    parts: [plot.node, legend(looks)],
    draw: (_, found) => looks.forEach(({ name }, i) =>
      rows[i].set(found[name], found[name].map(() => ROWS[name]))),
  };
}

/** What the ends of the spectrum are missed by, and the top residual, over the steps. */
function errors({ missed, residuals, ranges: { m: [first, last] } }) {
  const plot = axes({
    height: 300, title: "How the ends close in",
    x: { range: [first, last + 0.5], label: "steps m" },
    y: { range: SIZES, log: true, label: "size" },
  });
  const steps = residuals.map((_, i) => i + 1);
  const looks = [
    { name: "largest", label: "largest eigenvalue missed by", colour: "blue", marker: "s", dash: "-" },
    { name: "residual", label: "residual of that pair", colour: "ink", marker: "o", dash: "--" },
    { name: "smallest", label: "smallest eigenvalue missed by", colour: "green", marker: "^", dash: "-." },
  ];
  const curves = { ...missed, residual: residuals.map((row) => row.at(-1)) };
  for (const look of looks) plot.line(look.name, { ...look, marker: "" }).set(steps, curves[look.name]);
  const present = plot.line("m", { colour: "line", width: 1.2 });
  const level = plot.line("tolerance", { colour: "vermillion", dash: ":", width: 1.8 });
  const word = plot.words("tolerance", { colour: "ink", anchor: "end", dx: -4, dy: -5 });
  plot.words("end", { anchor: "end", dx: -4, dy: -8 }).set(last, SIZES[0], "curves end at rounding");
  const marks = looks.map((look) => plot.dots(`${look.name} now`, { ...look, size: 1.3 }));
  return {
    parts: [plot.node, legend(looks)],
    draw({ m, tolerance }, found) {
      present.set([m, m], SIZES);
      level.set([first, last + 0.5], [tolerance, tolerance]);
      word.set(last, tolerance, "tolerance");
      looks.forEach(({ name }, i) => marks[i].set([m], [found[name]]));
    },
  };
}

const purpose = () => "Sliders for the number of Lanczos steps and the tolerance.";

export default explorable({
  traits: ["m", "tolerance", "data"], purpose, controls, numbers, sentence, picture,
});
