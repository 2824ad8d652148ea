// What the colours of a quantity mean: a bar that lies below a picture.

import { SCALES, colourOf } from "./colours.js";
import { svg } from "./drawing.js";
import { powerOfTen } from "./words.js";

const BAR = { width: 440, height: 46, left: 18, right: 18 };
const FINE = 64; // boxes of a bar without steps

/** Whole exponents of ten on a scale. */
function exponents([low, high]) {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** Colours of the powers of ten of a scale that runs from one of them to another. */
export function bands(quantity) {
  const count = exponents(SCALES[quantity].limits).length - 1;
  return Array.from({ length: count }, (_, i) => colourOf((i + 0.5) / count, quantity));
}

/** The bar of a quantity, in steps of a power of ten or without steps; a label at every `each`-th. */
export function colourBar(quantity, { steps = false, each = 1 } = {}) {
  const { limits } = SCALES[quantity];
  const [low, high] = limits.map(Math.log10);
  const long = BAR.width - BAR.left - BAR.right;
  const smooth = () => Array.from({ length: FINE }, (_, i) => colourOf((i + 0.5) / FINE, quantity));
  const inks = steps ? bands(quantity) : smooth();
  const wide = long / inks.length;
  const boxes = inks.map((ink, i) =>
    svg("rect", { x: BAR.left + i * wide, y: 4, width: wide + 0.5, height: 14, fill: `rgb(${ink})` }),
  );
  const labelled = exponents(limits).reverse().filter((_, i) => i % each === 0);
  const labels = labelled.map((exponent) => {
    const x = BAR.left + (long * (exponent - low)) / (high - low);
    const word = exponent === -1 ? "0.1" : powerOfTen(exponent);
    return svg("g", {}, svg("path", { d: `M${x},18v5`, class: "ln-edges" }),
      svg("text", { x, y: 40, "text-anchor": "middle" }, word));
  });
  return svg("svg", { viewBox: `0 0 ${BAR.width} ${BAR.height}`, class: "ln-plot", "aria-hidden": "true" },
    ...boxes, ...labels);
}
