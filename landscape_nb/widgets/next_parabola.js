// One more sample in one dimension: L_k = height + w²/2 meets a parabola of any place and curvature.

import { explorable, sideBySide, slider } from "./explorable.js";
import { axes, legend } from "./drawing.js";
import { fixed } from "./words.js";

const TANGENT = 0.8; // the change's slope is drawn this far to either side of w = 0
const LOSSES = [0, 5]; // ends of the loss axis
const CHANGES = [-1, 2]; // ends of the change's axis

/** The three parabolas and the change over w; the change's parts; the lowest point after. */
export function numbers({ k, place, curvature, data: { height, reach, points } }) {
  const w = Array.from({ length: points }, (_, i) => reach * ((2 * i) / (points - 1) - 1));
  const before = w.map((v) => height + (v * v) / 2);
  const sample = w.map((v) => (curvature * (v - place) * (v - place)) / 2);
  const change = sample.map((v, i) => (v - before[i]) / (k + 1));
  return {
    w, before, sample, change,
    after: before.map((v, i) => v + change[i]),
    value: ((curvature * place * place) / 2 - height) / (k + 1),
    slope: (curvature * (0 - place)) / (k + 1),
    curvature: (curvature - 1) / (k + 1),
    lowest: (curvature * place) / (k + curvature),
  };
}

/** The present state in words. */
export function sentence({ k, place, curvature }, found) {
  return (
    `k = ${k}; the next sample is lowest at w = ${fixed(place, 1)} and has the curvature ` +
    `${fixed(curvature, 1)}. At the old lowest point, w = 0, the change has the value ` +
    `${fixed(found.value, 3)}, the slope ${fixed(found.slope, 3)} and the curvature ` +
    `${fixed(found.curvature, 3)}. The lowest point moves to w = ${fixed(found.lowest, 3)}.`
  );
}

function controls({ data: { ranges } }, set) {
  const [k, place, curvature] = [ranges.k, ranges.place, ranges.curvature];
  return [
    slider({
      name: "k", label: "k", meaning: "number of samples so far",
      low: k[0], high: k[1], step: 1, whole: true, text: String,
    }, set),
    slider({
      name: "place", label: "place", meaning: "where the next sample's loss is lowest",
      low: place[0], high: place[1], step: 0.1, text: (value) => fixed(value, 1),
    }, set),
    slider({
      name: "curvature", label: "curvature", meaning: "curvature of the next sample's loss",
      low: curvature[0], high: curvature[1], step: 0.1, text: (value) => fixed(value, 1),
    }, set),
  ];
}

function picture({ data: { reach } }) {
  const x = { range: [-reach, reach], ticks: [-2, -1, 0, 1, 2], label: "parameter w" };
  const losses = axes({ title: "The losses", x, y: { range: LOSSES, label: "loss" } });
  const changes = axes({
    title: "The change, after less before", x, y: { range: CHANGES, label: "change of the loss" },
  });
  changes.line("zero", { colour: "line", width: 0.8 }).set([-reach, reach], [0, 0]);
  const looks = [
    { name: "before", label: "mean of k samples", colour: "blue", dash: "-", width: 2.5 },
    { name: "sample", label: "the next sample", colour: "orange", dash: ":" },
    { name: "after", label: "mean of k + 1", colour: "vermillion", dash: "--", width: 2.5 },
  ];
  const parts = [
    { name: "change", label: "the change", colour: "ink", dash: "-", width: 2.5 },
    { name: "value", label: "its value at w = 0", colour: "ink", marker: "o" },
    { name: "slope", label: "its slope there", colour: "blue", dash: "--" },
  ];
  const lines = looks.map((look) => losses.line(look.name, look));
  const crosses = [
    losses.dots("bottom", { colour: "blue", marker: "+", size: 1.2 }),
    losses.dots("new bottom", { colour: "vermillion", marker: "x", size: 1.2 }),
  ];
  const change = changes.line("change", parts[0]);
  const slope = changes.line("slope", parts[2]);
  const value = changes.dots("value", parts[1]);
  return {
    node: sideBySide([losses.node, legend(looks)], [changes.node, legend(parts)]),
    draw({ k, curvature, place, data: { height } }, found) {
      looks.forEach((look, i) => lines[i].set(found.w, found[look.name]));
      const v = found.lowest;
      const sample = (curvature * (v - place) ** 2) / 2;
      crosses[0].set([0], [height]);
      crosses[1].set([v], [(k * (height + v ** 2 / 2) + sample) / (k + 1)]);
      change.set(found.w, found.change);
      value.set([0], [found.value]);
      const far = [-TANGENT, TANGENT];
      slope.set(far, far.map((w) => found.value + found.slope * w));
    },
  };
}

const purpose = () => "Sliders for the number of samples and for the next sample's parabola.";

export default explorable({
  traits: ["k", "place", "curvature", "data"], purpose, controls, numbers, sentence, picture,
});
