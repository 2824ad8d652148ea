// The spectrum of a Hessian along training: every eigenvalue at its rank, and the loss.

import { choice, explorable, sideBySide } from "./explorable.js";
import { axes, legend } from "./drawing.js";
import { play } from "./play.js";
import { fixed, general } from "./words.js";

/** Ends of the spectrum, its largest gap, and how many eigenvalues are outside the band. */
export function numbers({ step, data: { steps, spectra, losses, places, near } }) {
  const here = steps.indexOf(step);
  const [values, place] = [spectra[here], places[here]];
  const band = near * values[0];
  const above = values.filter((value) => value > band).length;
  const below = values.filter((value) => value < -band).length;
  return {
    loss: losses[here],
    largest: values[0],
    smallest: values.at(-1),
    place,
    gap: values[place - 1] / values[place],
    band,
    above,
    below,
    close: 1 - (above + below) / values.length,
  };
}

/** The present state in words. */
export function sentence({ step }, { loss, largest, smallest, place, gap, close, above, below }) {
  return (
    `Step ${step}: training loss ${fixed(loss, 2)}, largest eigenvalue ` +
    `${fixed(largest, 2)}, smallest ${fixed(smallest, 3)}. The largest gap comes ` +
    `after number ${place} (ratio ${fixed(gap, 1)}, dashed). ` +
    `${fixed(100 * close, 0)} % of the eigenvalues are within a hundredth of the ` +
    `largest around zero (shaded), ${above} are above and ${below} below.`
  );
}

function controls({ data: { steps } }, set) {
  return [
    choice({ name: "step", label: "step", meaning: "of training", values: steps }, set),
    play({ name: "step", values: steps, interval: 280 }, set),
  ];
}

function picture({ data }) {
  const panels = [spectrum(data), losses(data)];
  return {
    node: sideBySide(...panels.map(({ parts }) => parts)),
    draw: (state, found) => panels.forEach(({ draw }) => draw(state, found)),
  };
}

/** Powers of ten of either sign, and zero, between the ends of a stretched axis. */
function signed([low, high], smallest) {
  const sizes = [];
  for (let e = Math.round(Math.log10(smallest)); 10 ** e <= Math.max(-low, high); e += 1)
    sizes.push(10 ** e);
  const all = [...sizes.map((size) => -size), 0, ...sizes];
  return all.filter((value) => low <= value && value <= high).map((v) => [v, general(v, 2)]);
}

function spectrum({ steps, spectra, near }) {
  const [N, reach] = [spectra[0].length, Math.max(...spectra.map((values) => values[0]))];
  const lowest = Math.min(...spectra.map((values) => values.at(-1)));
  const range = [2 * Math.min(lowest, -near * reach), 1.6 * reach];
  const stretched = 10 ** Math.floor(Math.log10(near * reach));
  const [ends, tens] = [[0.8, 1.25 * N], [1, 10, 100, 1000, 10000]];
  const plot = axes({
    height: 360, title: "Every eigenvalue at its rank",
    x: { range: ends, log: true, ticks: tens.filter((rank) => rank <= N), label: "rank (1 is the largest)" },
    y: { range, stretched, ticks: signed(range, stretched), label: "eigenvalue, stretched around zero" },
  });
  const band = plot.shape("band", "rect", {
    x: plot.box.left, width: plot.box.right - plot.box.left, fill: "var(--ln-faint)",
    stroke: "var(--ln-line)", "stroke-dasharray": "2 3",
  });
  plot.line("zero", { colour: "line", width: 1 }).set(ends, [0, 0]);
  const gap = plot.line("gap", { colour: "vermillion", dash: "--" });
  const word = plot.words("gap", { anchor: "start", dx: 6, dy: 14 });
  const looks = [
    { name: "positive", label: "positive (or zero)", colour: "blue", marker: "." },
    { name: "negative", label: "negative", colour: "vermillion", marker: "v" },
  ];
  const dots = looks.map((look) => plot.dots(look.name, { ...look, size: look.marker === "." ? 1 : 0.7 }));
  const ranks = spectra[0].map((_, i) => i + 1);
  return {
    parts: [plot.node, legend(looks)],
    draw({ step }, { place, band: half }) {
      const values = spectra[steps.indexOf(step)];
      band.set({ y: plot.y(half), height: plot.y(-half) - plot.y(half) });
      const between = Math.sqrt(place * (place + 1));
      gap.set([between, between], range);
      word.set(between, range[1], `largest gap, after ${place}`);
      const first = values.findIndex((value) => value < 0); // they descend
      const count = first < 0 ? N : first;
      dots[0].set(ranks.slice(0, count), values.slice(0, count));
      dots[1].set(ranks.slice(count), values.slice(count));
    },
  };
}

function losses({ steps, losses: heights }) {
  const [most, edge] = [Math.max(...heights), 0.02 * (steps.at(-1) - steps[0])];
  const plot = axes({
    height: 260, title: "The training loss",
    x: { range: [steps[0] - edge, steps.at(-1) + edge], label: "step" },
    y: { range: [0, 1.08 * most], label: "loss" },
  });
  plot.line("loss", { colour: "line", width: 2 }).set(steps, heights);
  const here = plot.line("step", { colour: "line", width: 1 });
  const mark = plot.dots("loss now", { colour: "blue", marker: "D", size: 1.4 });
  const word = plot.words("loss now", { dy: -12 });
  return {
    parts: [plot.node],
    draw({ step }, { loss }) {
      here.set([step, step], [0, 1.08 * most]);
      mark.set([step], [loss]);
      const side = step > steps.at(-1) - 6 * edge ? "end" : "start"; // a loss falls: free on its right
      word.node.setAttribute("text-anchor", side);
      word.set(step, loss, ` ${fixed(loss, 2)} `);
    },
  };
}

const purpose = () => "A slider for the step of training.";

export default explorable({
  traits: ["step", "data"], purpose, controls, numbers, sentence, picture,
});
