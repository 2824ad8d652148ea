// Spectral Newton's step of each singular value: T(sigma; alpha) = sigma / (sigma^alpha + d).

import { explorable, sideBySide, slider } from "./explorable.js";
import { axes, legend } from "./drawing.js";
import { fixed, general, scientific } from "./words.js";

const POINTS = 101; // of the curve
const STEPS = [3e-7, 1e3]; // ends of the vertical axis: every step lies between

/** Singular values and the step of each; the two modes' steps; where the curve turns. */
export function numbers({ alpha, damping, data: { modes, exponents } }) {
  const [low, high] = exponents;
  const step = (sigma) => sigma / (sigma ** alpha + damping);
  const place = (i) => low + (i * (high - low)) / (POINTS - 1);
  const sigma = Array.from({ length: POINTS }, (_, i) => 10 ** place(i));
  const exponent = turning(alpha, damping);
  const turn = low <= exponent && exponent <= high ? 10 ** exponent : null;
  return { sigma, steps: sigma.map(step), modes: modes.map(step), turn };
}

/** The exponent of ten of the sigma at which sigma^alpha = d: infinite or NaN where alpha = 0. */
function turning(alpha, damping) {
  return Math.log10(damping) / alpha;
}

function whoDecides(alpha, damping, [low, high]) {
  const exponent = turning(alpha, damping);
  if (exponent > high) return "d is above σ^α at every σ shown. ";
  if (exponent < low) return "d is below σ^α at every σ shown. ";
  if (Number.isNaN(exponent)) return "";
  return `Below σ = ${general(10 ** exponent, 2)}, d is above σ^α. `;
}

/** Which optimiser this resembles, between the two modes. */
function near([LARGE, SMALL], [large, small]) {
  const power = Math.log(large / small) / Math.log(LARGE / SMALL);
  if (power > 0.95)
    return `This is near gradient descent, with the learning rate divided by ${general(LARGE / large, 3)}`;
  if (Math.abs(power) < 0.05) return "This is near the limit UV': all modes move alike";
  if (power < -0.95) return "This is near the limit 1/σ: what the gradient hardly sees moves most";
  if (power > 0) return "This lies between gradient descent and UV'";
  return "This lies between UV' and 1/σ: small modes move farther than large ones";
}

/** The present state in words. */
export function sentence({ alpha, damping, data }, { modes }) {
  const [LARGE, SMALL] = data.modes;
  const [large, small] = modes;
  return (
    `α = ${fixed(alpha, 2)}, d = ${scientific(damping, 1)}. A large mode ` +
    `(σ = ${general(LARGE)}) moves by ${general(large, 3)}, a small one (σ = ` +
    `${general(SMALL)}) by ${general(small, 3)}: the large one ${general(large / small, 3)} times as far. ` +
    `Gradient descent would move it ${general(LARGE / SMALL)} times as far. ` +
    `${whoDecides(alpha, damping, data.exponents)}${near(data.modes, modes)}.`
  );
}

function controls({ data: { ranges } }, set) {
  const [low, high] = ranges.damping.map(Math.log10);
  return [
    slider({
      name: "alpha", label: "α", meaning: "exponent of the singular value that the step is divided by",
      low: ranges.alpha[0], high: ranges.alpha[1], step: 0.05, text: (value) => fixed(value, 2),
    }, set),
    slider({
      name: "damping", label: "d", meaning: "damping, added to the divisor",
      low, high, step: 0.1, log: true, text: (value) => scientific(value, 1),
    }, set),
  ];
}

const LIMITS = [
  { name: "descent", label: "σ: gradient descent", power: 1, colour: "blue", dash: "--", marker: "s" },
  { name: "alike", label: "1: UV', all alike", power: 0, colour: "green", dash: ":", marker: "o" },
  { name: "inverse", label: "1/σ: small modes first", power: -1, colour: "vermillion", dash: "-.", marker: "^" },
];
const CURVE = { name: "T", label: "T(σ)", dash: "-", width: 3.5 };
const MODES = [
  { name: "large mode", label: "a large mode", marker: "D" },
  { name: "small mode", label: "a small mode", marker: "v" },
];
const TURN = { name: "turn", label: "σ^α = d", colour: "quiet", dash: "-", width: 1 };

function picture({ data: { modes, exponents } }) {
  const ends = exponents.map((exponent) => 10 ** exponent);
  const plot = axes({
    height: 350, title: "The step of each singular value",
    x: { range: ends, log: true, label: "singular value σ of the gradient" },
    y: { range: STEPS, log: true, label: "length of the step, T(σ)" },
  });
  const { top, bottom } = plot.box;
  const turning = plot.shape("turn", "path", { stroke: "var(--ln-quiet)", "stroke-width": 1 });
  const stations = Array.from({ length: 6 }, (_, i) => ends[0] * (ends[1] / ends[0]) ** (i / 5));
  for (const { name, power, ...look } of LIMITS)
    plot.line(name, { ...look, width: 1.4 }).set(stations, stations.map((v) => v ** power));
  const curve = plot.line(CURVE.name, CURVE);
  const marks = MODES.map(({ name, marker }) => plot.dots(name, { marker, size: 1.5 }));
  const upright = (u) => `M${u},${top}L${u},${bottom}`;
  return {
    node: sideBySide([plot.node, legend([CURVE, ...MODES, ...LIMITS, TURN])]),
    draw(_, found) {
      curve.set(found.sigma, found.steps);
      marks.forEach((mark, i) => mark.set([modes[i]], [found.modes[i]]));
      turning.set({ d: found.turn === null ? "" : upright(plot.x(found.turn)) });
    },
  };
}

const purpose = () => "Sliders for the exponent and the damping.";

export default explorable({
  traits: ["alpha", "damping", "data"], purpose, controls, numbers, sentence, picture,
});
