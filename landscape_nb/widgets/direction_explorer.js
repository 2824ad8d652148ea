// A direction that turns on L(w) = w'Hw / 2, the parabola along it, and u'Hu at every angle.

import { chains, segments } from "./contours.js";
import { axes, legend } from "./drawing.js";
import { explorable, html, sideBySide, slider } from "./explorable.js";
import { select } from "./select.js";
import { fixed } from "./words.js";

const SIZE = 400; // of the bowl's picture, in user units
const GRID = 101; // points to a side, between which level curves are sought
const LEVELS = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => 0.06 * i * i); // of the loss, and their negatives

/** (cos, sin) to 1e-9: two libraries' cosines differ in the sixteenth digit. */
function direction(angle) {
  const radians = (angle * Math.PI) / 180;
  return [Math.cos(radians), Math.sin(radians)].map((v) => Math.floor(1e9 * v + 0.5) / 1e9);
}

/** u1² H11, 2 u1 u2 H12 and u2² H22. */
const termsOf = ([[a, b], [, d]], [x, y]) => [x * x * a, 2 * x * y * b, y * y * d];

const sum = ([one, two, three]) => one + two + three;

/** The direction, the three terms of u'Hu, the parabola, and u'Hu every three degrees. */
export function numbers({ angle, surface, data: { surfaces } }) {
  const { H } = surfaces[surface];
  const u = direction(angle);
  const terms = termsOf(H, u);
  const curvature = sum(terms);
  const steps = Array.from({ length: 61 }, (_, i) => (i - 30) / 20);
  const parabola = steps.map((t) => (t * t * curvature) / 2);
  const around = Array.from({ length: 121 }, (_, i) => sum(termsOf(H, direction(3 * i))));
  return { u, terms, curvature, steps, parabola, around };
}

/** With two digits, and no minus before a zero. */
const signed = (value) => fixed(Math.abs(value) >= 0.005 ? value : 0, 2);

/** The same as a term of a sum. */
function added(value) {
  const written = signed(value);
  return written[0] === "-" ? `- ${written.slice(1)}` : `+ ${written}`;
}

function bends(curvature) {
  if (Math.abs(curvature) < 0.005) return "The surface is level along u.";
  return `The parabola opens ${curvature > 0 ? "upwards" : "downwards"}.`;
}

/** Where this curvature stands among those of all directions. */
function amongAll(angle, { values: [low, high], angles }) {
  if (high - low < 1e-9) return "It is the same in every direction: every one is an eigenvector.";
  for (const [i, name] of ["smaller", "larger"].entries())
    if (Math.abs(((angle - angles[i] + 270) % 180) - 90) <= 1)
      return (
        `No direction has a ${name} one: here u is an eigenvector of H (within a ` +
        `degree), and ${signed([low, high][i])} is its eigenvalue.`
      );
  return `Over all directions it goes from ${signed(low)} to ${signed(high)}.`;
}

/** The present state in words. */
export function sentence({ angle, surface, data }, { curvature, terms: [one, both, two] }) {
  return (
    `u points at ${fixed(angle, 0)} degrees. The curvature along it: u'Hu = ` +
    `u₁² H₁₁ + 2 u₁u₂ H₁₂ + u₂² H₂₂ = ${signed(one)} ${added(both)} ${added(two)} = ` +
    `${signed(curvature)}. ${bends(curvature)} ${amongAll(angle, data.surfaces[surface])}`
  );
}

function controls({ data: { names, ranges } }, set) {
  const options = names.map((name) => [name, name]);
  const found = names.length > 1 ? [select({ name: "surface", label: "surface", options }, set)] : [];
  const [low, high] = ranges.angle;
  const meaning = "of the direction u, in degrees";
  return [...found, slider({ name: "angle", label: "angle", meaning, low, high, step: 1, text }, set)];
}

const text = (angle) => `${fixed(angle, 0)}°`;

const LOOKS = {
  up: { label: "above the middle", colour: "line", dash: "-", width: 1.1 },
  down: { label: "below it", colour: "blue", dash: "--", width: 1.3 },
  walk: { label: "the walk along u", colour: "vermillion", dash: ":", width: 1.8 },
  parabola: { label: "the loss along u", colour: "vermillion", dash: "-", width: 2.6 },
  around: { label: "u'Hu at every angle", colour: "ink", dash: "-", width: 1.8 },
  now: { label: "u'Hu now", colour: "vermillion", marker: "D", size: 1.5 },
  ends: { label: "eigenvalue", colour: "blue", marker: "s", size: 1.2 },
};

function picture({ data }, set) {
  const bowl = bowlOf(data, set);
  const [low, high] = heightsOf(data);
  const half = (data.reach * data.reach) / 2;
  const along = axes({
    height: 225, title: "Along u", margin: { left: 66, right: 14, top: 28, bottom: 50 },
    x: { range: [-data.reach, data.reach], ticks: [-1, 0, 1], label: "step t along u" },
    y: { range: [half * low, half * high], label: "loss", most: 4 },
  });
  const around = axes({
    height: 225, title: "The curvature u'Hu at every angle", margin: { left: 66, right: 14, top: 28, bottom: 50 },
    x: { range: [0, 360], ticks: [0, 90, 180, 270, 360], label: "angle of u [degrees]" },
    y: { range: [low, high], label: "u'Hu", most: 4 },
  });
  for (const plot of [along, around]) plot.line("zero", { colour: "quiet", width: 0.8 }).set([-2, 361], [0, 0]);
  const parabola = along.line("parabola", LOOKS.parabola);
  const curve = around.line("around", LOOKS.around);
  const ends = around.dots("ends", LOOKS.ends);
  const drop = around.line("drop", { ...LOOKS.walk, width: 1.2 });
  const now = around.dots("now", LOOKS.now);
  return {
    node: sideBySide(
      [bowl.node, legend([LOOKS.up, LOOKS.down, LOOKS.walk])],
      [along.node, around.node, legend([LOOKS.parabola, LOOKS.around, LOOKS.now, LOOKS.ends])],
    ),
    draw(state, found) {
      const { values, angles } = data.surfaces[state.surface];
      bowl.draw(state, found);
      parabola.set(found.steps, found.parabola);
      curve.set(found.around.map((_, i) => 3 * i), found.around);
      ends.set([...angles, ...angles.map((angle) => angle + 180)], [...values, ...values]);
      drop.set([state.angle, state.angle], [0, found.curvature]);
      now.set([state.angle], [found.curvature]);
    },
  };
}

/** Ends of the curvature's axis, the same for all surfaces: 0 is in it. */
function heightsOf({ names, surfaces }) {
  const all = names.flatMap((name) => surfaces[name].values);
  const [low, high] = [Math.min(0, ...all), Math.max(0, ...all)];
  const room = 0.08 * (high - low);
  return [low - room, high + room];
}

/** The surface from above with the arrow on it, whose tip can be dragged. */
function bowlOf({ reach, surfaces }, set) {
  const end = { range: [-reach, reach], ticks: [-1, 0, 1] };
  const plot = axes({
    width: SIZE, height: SIZE, title: "The surface from above: drag the arrow",
    x: { ...end, label: "w₁" }, y: { ...end, label: "w₂" },
  });
  const pens = { up: plot.line("up", LOOKS.up), down: plot.line("down", LOOKS.down) };
  const walk = plot.line("walk", LOOKS.walk);
  const arrow = plot.line("arrow", { colour: "vermillion", width: 4 });
  const name = plot.words("u", { dy: 5 });
  name.node.classList.add("ln-halo");
  const turned = turning(plot, set);
  let drawn;
  return {
    node: turned.node,
    draw({ angle, surface }, { u: [x, y] }) {
      if (drawn !== surface) {
        drawn = surface;
        for (const [side, lines] of Object.entries(levelsOf(surfaces[surface].H, reach)))
          pens[side].set(...[0, 1].map((i) => lines.flatMap((line) => [...line.map((p) => p[i]), NaN])));
      }
      walk.set([-2 * x, 2 * x], [-2 * y, 2 * y]);
      const barbs = [160, 200].map((by) => direction(angle + by).map((v, i) => [x, y][i] + 0.14 * v));
      arrow.set([0, x, barbs[0][0], NaN, x, barbs[1][0]], [0, y, barbs[0][1], NaN, y, barbs[1][1]]);
      name.set(0.55 * x - 0.16 * y, 0.55 * y + 0.16 * x, "u");
      turned.show(angle, [x, y]);
    },
  };
}

/** Level curves above and below the middle's height, as lines of points. */
function levelsOf([[a, b], [, d]], reach) {
  const steps = Array.from({ length: GRID }, (_, i) => reach * ((2 * i) / (GRID - 1) - 1));
  const Z = steps.flatMap((y) => steps.map((x) => (a * x * x + 2 * b * x * y + d * y * y) / 2));
  const at = (levels) => levels.flatMap((level) => chains(segments(steps, Z, level)));
  return { up: at(LEVELS.slice(1)), down: at(LEVELS.slice(1).map((level) => -level)) };
}

/**
 * The arrow as a thing to turn: a mouse anywhere on the plot, a finger on the knob at its tip, or
 * keys on the knob. A finger elsewhere scrolls the page.
 */
function turning(plot, set) {
  const knob = html("span", {
    className: "ln-knob ln-tip", role: "slider", tabIndex: 0, "aria-label": "the arrow u, in degrees",
    "aria-valuemin": 0, "aria-valuemax": 360,
  });
  const node = html("div", { className: "ln-pointed ln-turned" }, plot.node, knob);
  let shown = 0;
  const move = (angle) => {
    shown = ((Math.round(angle) % 360) + 360) % 360; // two keys may come between two frames
    set({ angle: shown });
  };
  const keys = {
    ArrowLeft: 1, ArrowUp: 1, ArrowRight: -1, ArrowDown: -1, PageUp: 15, PageDown: -15,
  }; // degrees; to the left is how angles grow
  knob.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Home") move(0);
    else if (event.key in keys) move(shown + keys[event.key]);
    else return;
    event.preventDefault();
  });
  let held = false;
  const follow = ({ clientX, clientY }) => {
    const { left, top, width } = plot.node.getBoundingClientRect();
    const x = plot.x.inverse(((clientX - left) / width) * SIZE);
    const y = plot.y.inverse(((clientY - top) / width) * SIZE);
    if (x || y) move((Math.atan2(y, x) * 180) / Math.PI);
  };
  node.addEventListener("pointerdown", (event) => {
    if (event.button || (event.pointerType !== "mouse" && event.target !== knob)) return;
    event.preventDefault(); // no text is marked
    knob.focus({ preventScroll: true });
    node.setPointerCapture(event.pointerId);
    held = true;
    follow(event);
  });
  node.addEventListener("pointermove", (event) => {
    if (held) follow(event);
  });
  for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => (held = false));
  return {
    node,
    show(angle, [x, y]) {
      shown = angle;
      knob.style.left = `${(100 * plot.x(x)) / SIZE}%`;
      knob.style.top = `${(100 * plot.y(y)) / SIZE}%`;
      knob.setAttribute("aria-valuenow", Math.round(angle));
      knob.setAttribute("aria-valuetext", `${fixed(angle, 0)} degrees`);
    },
  };
}

const purpose = () => "A direction to turn, by a slider or by dragging, and the curvature along it.";

export default explorable({
  traits: ["angle", "surface", "data"], purpose, controls, numbers, sentence, picture,
});
