// Gradient descent on a bowl: L(x, y) = (x² + y² / kappa) / 2, in closed form.

import { explorable, sideBySide, slider } from "./explorable.js";
import { axes, legend } from "./drawing.js";
import { fixed, scientific } from "./words.js";

const WIDTHS = [0.1, 0.2, 0.4, 0.8, 1.6]; // half-widths of the level curves along x
const REACH = 1.9; // the left picture shows this much to either side
const LOSSES = [1e-9, 1e3]; // ends of the loss axis

/**
 * What one step multiplies x and y by; the points; the losses along x and y after each step; the
 * first step outside of the bowl's picture (left) and of the loss's (over), null if there is none.
 */
export function numbers({ lr, kappa, data: { start, steps } }) {
  const curvatures = [1, 1 / kappa];
  const factors = curvatures.map((curvature) => 1 - lr * curvature);
  const count = Array.from({ length: steps + 1 }, (_, t) => t);
  const path = start.map((first, i) => count.map((t) => factors[i] ** t * first));
  const parts = path.map((line, i) => line.map((v) => (v ** 2 * curvatures[i]) / 2));
  const losses = count.map((t) => parts[0][t] + parts[1][t]);
  const left = first(count.map((t) => Math.max(...path.map((line) => Math.abs(line[t]))) > REACH));
  const over = first(losses.map((loss) => loss > LOSSES[1]));
  return { factors, path, parts, losses, left, over };
}

/** The first step of which that is so. */
function first(outside) {
  const at = outside.indexOf(true);
  return at < 0 ? null : at;
}

/** When path and loss leave their pictures. */
function leaves(left, over) {
  if (left === null) return "";
  const loss = over === null ? "" : `, the loss the right one at step ${over}`;
  return `The path leaves the left picture at step ${left}${loss}. `;
}

function verdict(x) {
  if (Math.abs(Math.abs(x) - 1) < 1e-9)
    return "It neither converges nor diverges: x jumps from side to side for ever";
  if (Math.abs(x) > 1) return "It diverges: x jumps from side to side, farther out each time";
  if (x < -1e-9) return "It converges: x oscillates from side to side, closer each time";
  if (x > 1e-9) return "It converges: x and y creep in from their own side";
  return "It converges: x is at the bottom after a single step";
}

/** The present state in words. */
export function sentence({ lr, kappa, data: { steps } }, found) {
  const { factors: [x, y], losses, left, over } = found;
  return (
    `lr × λ max = ${fixed(lr, 2)}, condition number κ = ${fixed(kappa, 1)}. ` +
    `Each step multiplies the distance to the bottom by |1 - lr λ| = ${fixed(Math.abs(x), 3)} in ` +
    `x (sharp) and by ${fixed(Math.abs(y), 3)} in y (flat). ${verdict(x)}. ` +
    `${leaves(left, over)}` +
    `Loss after ${steps} steps: ${scientific(losses[steps] / losses[0], 1)} times the first.`
  );
}

function controls({ data: { ranges } }, set) {
  const [lr, kappa] = [ranges.lr, ranges.kappa.map(Math.log10)];
  return [
    slider({
      name: "lr", label: "lr × λ max", meaning: "learning rate times the largest eigenvalue",
      low: lr[0], high: lr[1], step: 0.05, text: (value) => fixed(value, 2),
    }, set),
    slider({
      name: "kappa", label: "κ", meaning: "condition number: largest over smallest eigenvalue",
      low: kappa[0], high: kappa[1], step: 0.02, log: true, text: (value) => fixed(value, 1),
    }, set),
  ];
}

function picture({ data: { steps } }) {
  const reach = { range: [-REACH, REACH], ticks: [-1, 0, 1] };
  const bowl = axes({
    width: 400, height: 400, title: "The bowl from above, and the path",
    x: { ...reach, label: "x, the sharp direction" }, y: { ...reach, label: "y, the flat direction" },
  });
  const loss = axes({
    height: 360, title: "The loss, and its two parts",
    x: { range: [-0.5, steps + 0.5], label: "step" }, y: { range: LOSSES, log: true, label: "loss" },
  });
  const [u, v] = [bowl.x(0), bowl.y(0)];
  const levels = WIDTHS.map((width) =>
    bowl.shape("level", "ellipse", {
      cx: u, cy: v, rx: bowl.x(width) - u, fill: "none", stroke: "var(--ln-line)",
    }),
  );
  bowl.dots("bottom", { colour: "green", marker: "+", size: 1.2 }).set([0], [0]);
  const path = bowl.line("path", { marker: "o", width: 1.2 });
  const start = bowl.dots("start", { marker: "D", size: 1.3 });
  const name = bowl.words("start", { anchor: "start", dx: 9, dy: -5 });
  const gone = loss.words("gone");
  const looks = [
    { name: "loss", label: "loss", width: 4, colour: "line", dash: "-" },
    { name: "x", label: "part of x (sharp)", colour: "vermillion", marker: "^", dash: "-" },
    { name: "y", label: "part of y (flat)", colour: "blue", marker: "s", dash: "--" },
  ];
  const lines = looks.map((look) => loss.line(look.name, look));
  return {
    node: sideBySide([bowl.node], [loss.node, legend(looks)]),
    draw({ kappa }, { path: [xs, ys], parts, losses, left, over }) {
      levels.forEach((level, i) => level.set({ ry: v - bowl.y(WIDTHS[i] * kappa ** 0.5) }));
      // what has left does not come back; its jumps would only black out the valley
      const shown = left === null ? xs.length : left + 1;
      path.set(xs.slice(0, shown), ys.slice(0, shown));
      if (over === null) gone.set(0, 1, "");
      else {
        const late = over > steps / 2; // beside the curve, where there is room
        gone.node.setAttribute("text-anchor", late ? "end" : "start");
        gone.set(over + (late ? -0.07 : 0.03) * steps, LOSSES[1] / 10, `↑ ${scientific(losses[steps], 1)} at step ${steps}`);
      }
      start.set([xs[0]], [ys[0]]);
      name.set(xs[0], ys[0], "start");
      const count = losses.map((_, t) => t);
      [losses, ...parts].forEach((line, i) => lines[i].set(count, line));
    },
  };
}

const purpose = () => "Sliders for the learning rate and the condition number.";

export default explorable({
  traits: ["lr", "kappa", "data"], purpose, controls, numbers, sentence, picture,
});
