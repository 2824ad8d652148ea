// A loss surface over a plane, which turns.

import { box, seen, standpoint, writer } from "./box.js";
import { explorable, choice, html, slider } from "./explorable.js";
import { svg, ticks } from "./drawing.js";
import { colourBar } from "./colour_bar.js";
import { colourOf, placer } from "./colours.js";
import { select } from "./select.js";
import { turnable } from "./turning.js";
import { listOf, once } from "./planes.js";
import { fixed, general, howMany, scientific } from "./words.js";

const [WIDTH, TALL, UNIT] = [430, 390, 102]; // of the picture in user units, and half a side in them
const [MIDDLE, CENTRE] = [WIDTH / 2, 200];
const COLOURED = { loss: "loss", change: "squared change", "log change": "squared change" };
const SETTLED = 150; // ms without a move after which the surface is drawn as fine as the screen is

const NAMES = {
  loss: "Loss Lₖ",
  change: "Squared change (Lₖ₊₁ − Lₖ)²",
  "log change": "Squared change, log scale",
};

// ---- numbers ---------------------------------------------------------------------------------

const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;
const upTo = (place) => Math.floor(1e9 * place + 0.5) / 1e9;
const SURFACES = new WeakMap(); // data -> plane, quantity and row -> what no turning changes

function heightsOf({ planes }, plane, quantity, row) {
  if (quantity === "loss") return listOf(planes[plane].loss[row]);
  return listOf(planes[plane].increment[row]).map((change) => change * change);
}

/** Where a height stands on its scale, 0..1. */
function sharesOf(heights, quantity, [low, high]) {
  if (quantity !== "log change") return heights.map((h) => (h - low) / (high - low));
  const [foot, top] = [Math.log10(low), Math.log10(high)];
  return heights.map((h) => (Math.log10(Math.max(h, low)) - foot) / (top - foot));
}

const CORNERS = [0, 1].flatMap((z) => [-1, 1].flatMap((y) => [-1, 1].map((x) => [x, y, z])));

/** Heights, their shares of the axis, their places on the colour scale, and what sums them up. */
function surfaceOf(data, plane, quantity, row) {
  return once(SURFACES, data, `${plane} ${quantity} ${row}`, () => {
    const heights = heightsOf(data, plane, quantity, row);
    const average = mean(heights);
    return {
      heights,
      shares: sharesOf(heights, quantity, data.limits[quantity]),
      tints: heights.map(placer(COLOURED[quantity])),
      centre: heights[(heights.length - 1) / 2],
      lowest: Math.min(...heights),
      highest: Math.max(...heights),
      mean: average,
      times: average ? mean(heightsOf(data, plane, quantity, 0)) / average : null,
    };
  });
}

/** Heights and what sums them up; places on the picture, where half the side is about 1. */
export function numbers({ k, plane, quantity, azimuth, elevation, data }) {
  const { ks, steps } = data;
  const { shares, tints, ...found } = surfaceOf(data, plane, quantity, ks.indexOf(k));
  const [size, reach] = [steps.length, steps.at(-1)];
  const eye = seen(azimuth, elevation);
  const [across, up] = [[], []];
  shares.forEach((share, i) => {
    const [u, v] = eye(steps[i % size] / reach, steps[Math.floor(i / size)] / reach, share);
    across.push(upTo(u));
    up.push(upTo(v));
  });
  const corners = CORNERS.map((corner) => eye(...corner));
  return { ...found, across, up, corners: [0, 1].map((i) => corners.map((corner) => upTo(corner[i]))) };
}

/** The present state in words. */
export function sentence({ k, plane, quantity, data: { ks } }, found) {
  if (quantity === "loss")
    return (
      `The loss of the first ${k} samples in the ${plane} plane: ` +
      `${general(found.centre, 3)} at the centre, from ${general(found.lowest, 3)} to ` +
      `${general(found.highest, 3)} over the plane.`
    );
  const words =
    `The squared change of the loss from ${k} to ${k + 1} samples in the ${plane} ` +
    `plane: ${scientific(found.mean, 1)} on average, ${scientific(found.highest, 1)} at most.`;
  if (k === ks[0] || found.times === null) return words;
  return `${words} The average at k = ${ks[0]} is ${howMany(found.times)} times this.`;
}

// ---- controls --------------------------------------------------------------------------------

function controls({ data: { ks, names, quantities } }, set) {
  const found = [choice({ name: "k", label: "k", meaning: "number of samples", values: ks }, set)];
  const planes = names.map((name) => [name, `${name} plane`]);
  if (names.length > 1) found.push(select({ name: "plane", label: "over the", options: planes }, set));
  const shown = quantities.map((name) => [name, NAMES[name]]);
  if (shown.length > 1) found.push(select({ name: "quantity", label: "height", options: shown }, set));
  return found;
}

const degrees = (value) => `${fixed(value, 0).replace("-", "−")}°`;

function turners({ data: { ranges } }, set) {
  const look = [
    ["azimuth", "turn", "degrees by which you have gone round the surface"],
    ["elevation", "tilt", "degrees by which you stand above the plane"],
  ];
  return look.map(([name, label, meaning]) => {
    const [low, high] = ranges[name];
    return slider({ name, label, meaning, low, high, step: 1, text: degrees }, set);
  });
}

// ---- picture ---------------------------------------------------------------------------------

const toU = (across) => MIDDLE + UNIT * across;
const toV = (up) => CENTRE - UNIT * up;

/** 256 fills of each quantity, and for each an edge that shows on it. */
const FILLS = Object.fromEntries(
  [...new Set(Object.values(COLOURED))].map((quantity) => [
    quantity, Array.from({ length: 256 }, (_, i) => `rgb(${colourOf(i / 255, quantity).join()})`),
  ]),
);
const EDGES = Array.from({ length: 256 }, (_, i) => (i < 110 ? "rgba(255,255,255,.3)" : "rgba(0,0,0,.4)"));
const PIN = "#d55e00";
const BAR_LABELS = { loss: 1, "squared change": 2 }; // of the powers of ten: every how many-th

function picture(first, set) {
  const canvas = html("canvas", { className: "ln-canvas" });
  const [behind, before] = ["ln-behind", "ln-before"].map((name) =>
    svg("svg", { viewBox: `0 0 ${WIDTH} ${TALL}`, class: `ln-plot ${name}`, "aria-hidden": "true" }),
  );
  const stage = html(
    "div",
    {
      className: "ln-stage", tabIndex: 0, role: "slider", "aria-label": "the surface's turn",
      "aria-valuemin": -180, "aria-valuemax": 180,
    },
    behind, canvas, before,
  );
  const surround = surroundings(behind, before, first);
  const turns = turners(first, set);
  let shown;
  const paint = () => shown && paintSurface(canvas, ...shown);
  const fit = fitted(canvas, paint);
  const key = html("p", { className: "ln-note" });
  const wanted = new Set(first.data.quantities.map((name) => COLOURED[name]));
  const bars = [...wanted].map((name) => [name, colourBar(name, { each: BAR_LABELS[name] })]);
  turnable(stage, () => shown[0], set);
  return {
    node: html(
      "div", { className: "ln-turning" }, stage,
      html("div", {}, ...turns.map((turn) => turn.node), html("p", { className: "ln-note" },
        "The pin marks the centre. Drag the picture to turn it, or click it and use the arrow keys; Home turns it back."),
        key, ...bars.map(([, bar]) => bar)),
    ),
    draw(state, found) {
      const { azimuth, elevation } = state;
      shown = [state, found];
      for (const turn of turns) turn.show(state);
      stage.setAttribute("aria-valuenow", azimuth);
      stage.setAttribute("aria-valuetext", `turn ${degrees(azimuth)}, tilt ${degrees(elevation)}`);
      surround(state, found);
      const coloured = COLOURED[state.quantity];
      key.textContent = `Colours: ${coloured}, the same in every picture of the course.`;
      for (const [name, bar] of bars) bar.style.display = name === coloured ? "" : "none";
      fit.moved();
    },
    stop: fit.stop,
  };
}

/**
 * Keep a canvas as fine as the screen is; `paint` when that changes. While one move follows another
 * it has a pixel for each of the page's, or a screen of many would make each frame late. Returns
 * {moved, stop}: `moved` paints what a move has changed.
 */
function fitted(canvas, paint) {
  let [wide, last, settling] = [0, -Infinity, 0];
  const resize = (scale) => {
    const [width, height] = [wide, (wide * TALL) / WIDTH].map((side) => Math.round(scale * side));
    if (canvas.width !== width) Object.assign(canvas, { width, height });
  };
  const finest = () => Math.min(2, devicePixelRatio || 1); // finer is hardly seen
  const sharp = () => {
    resize(finest());
    paint();
  };
  const watch = new ResizeObserver(([{ contentRect }]) => {
    wide = contentRect.width;
    if (wide) sharp();
  });
  watch.observe(canvas);
  return {
    moved() {
      if (!wide) return; // not yet in the page
      clearTimeout(settling);
      const coarse = performance.now() - last < SETTLED && finest() > 1;
      last = performance.now();
      resize(coarse ? 1 : finest());
      paint();
      if (coarse) settling = setTimeout(sharp, SETTLED);
    },
    stop() {
      clearTimeout(settling);
      watch.disconnect();
    },
  };
}

/** Title, walls behind the surface, and axes before it. Returns how to draw them. */
function surroundings(behind, before, { data: { steps } }) {
  const title = svg("text", { x: MIDDLE, y: 18, class: "ln-title" });
  const [walls, axes, corners, centre] = [
    ["ln-walls"], ["ln-edges"], ["ln-unseen", "corners"], ["ln-unseen", "centre"],
  ].map(([name, mark]) => svg("path", { class: name, ...(mark && { "data-mark": mark }) }));
  const words = svg("g", {});
  behind.append(walls);
  before.append(axes, corners, centre, words, title);
  const write = writer(words);
  const reach = steps.at(-1);
  const flat = ticks({ range: [-reach, reach], most: 3 }).map(([v, label]) => [v / reach, label]);
  return ({ plane, k, quantity, azimuth, elevation, data: { limits } }, found) => {
    const see = seen(azimuth, elevation);
    const place = (...point) => {
      const [across, up] = see(...point);
      return [toU(across), toV(up)];
    };
    const log = quantity === "log change";
    const tall = ticks({ range: limits[quantity], log, most: 5 });
    const shares = sharesOf(tall.map(([value]) => value), quantity, limits[quantity]);
    const drawn = box({
      place, flat, eye: standpoint(azimuth, elevation), unit: quantity === "loss" ? "loss" : "loss²",
      tall: tall.map(([, label], i) => [shares[i], label]),
    });
    walls.setAttribute("d", drawn.walls);
    axes.setAttribute("d", drawn.axes);
    corners.setAttribute("d", marks(...found.corners));
    const middle = (found.across.length - 1) / 2;
    centre.setAttribute("d", marks([found.across[middle]], [found.up[middle]]));
    write(drawn.words);
    title.textContent = `${NAMES[quantity]}, ${plane} plane, k = ${k}`;
  };
}

/** A path that is not seen, through places of the picture: a test finds them there. */
const marks = (across, up) =>
  across.map((u, i) => `M${toU(u).toFixed(2)},${toV(up[i]).toFixed(2)}h0`).join("");

/** Cells along one direction, farthest from the eye first. */
function farthestFirst(steps, eye) {
  const away = (i) => Math.abs((steps[i] + steps[i + 1]) / 2 / steps.at(-1) - eye);
  return steps.slice(1).map((_, i) => i).sort((i, j) => away(j) - away(i));
}

/**
 * Fill the cells one over the other, without sorting them by their distance: along a line of sight
 * both x and y move away from the eye's, so far to near along one direction, and within it along
 * the other, covers what is hidden. The pin at the centre comes when all behind it is there.
 * Neighbours of one colour are one path: many small ones are what takes the time.
 */
function paintSurface(canvas, { k, plane, quantity, azimuth, elevation, data }, found) {
  const c = cleared(canvas);
  const { steps, ks } = data;
  const { tints } = surfaceOf(data, plane, quantity, ks.indexOf(k));
  const fills = FILLS[COLOURED[quantity]];
  const size = steps.length;
  const eye = standpoint(azimuth, elevation);
  const [outer, inner] = Math.abs(eye[0]) > Math.abs(eye[1]) ? [0, 1] : [1, 0];
  const order = eye.map((place) => farthestFirst(steps, place));
  const us = found.across.map(toU);
  const vs = found.up.map(toV);
  const middle = (i) => (steps[i] + steps[i + 1]) / 2 / steps.at(-1);
  const last = order.map((cells) => cells.at(-1));
  const ringOf = (i, j) => [j * size + i, j * size + i + 1, (j + 1) * size + i + 1, (j + 1) * size + i];
  const colourAt = (ring) => {
    const tint = (tints[ring[0]] + tints[ring[1]] + tints[ring[2]] + tints[ring[3]]) / 4;
    return Math.round((fills.length - 1) * tint);
  };
  const line = (corners) =>
    corners.forEach((at, turn) => (turn ? c.lineTo(us[at], vs[at]) : c.moveTo(us[at], vs[at])));
  // the two far sides: the near ones are the far ones of cells that come later
  const farSides = (ring, i, j) => {
    if (i === last[0] || j === last[1]) return [...ring, ring[0]];
    const far = ring.indexOf((j + (eye[1] < middle(j))) * size + i + (eye[0] < middle(i)));
    return [1, 0, 3].map((turn) => ring[(far + turn) % 4]);
  };
  const fill = (run) => {
    c.beginPath();
    for (const [ring] of run) line(ring);
    c.fillStyle = fills[run.colour];
    c.fill();
    c.beginPath();
    for (const [ring, i, j] of run) line(farSides(ring, i, j));
    c.strokeStyle = EDGES[run.colour];
    c.stroke();
  };
  const row = (cells) => {
    let run = [];
    for (const [i, j] of cells) {
      const ring = ringOf(i, j);
      const colour = colourAt(ring);
      if (run.length && run.colour !== colour) {
        fill(run);
        run = [];
      }
      run.colour = colour;
      run.push([ring, i, j]);
    }
    fill(run);
  };
  const behind = order[outer].filter((i) => farther(steps, i, eye[outer])).length;
  order[outer].forEach((far, place) => {
    if (place === behind) paintPin(c, azimuth, elevation, us, vs);
    row(order[inner].map((near) => (outer ? [near, far] : [far, near])));
  });
  if (behind === size - 1) paintPin(c, azimuth, elevation, us, vs);
}

/** Whether a row of cells is farther from the eye than the centre is. */
const farther = (steps, i, eye) =>
  Math.abs((steps[i] + steps[i + 1]) / 2 / steps.at(-1) - eye) > Math.abs(eye);

function cleared(canvas) {
  const c = canvas.getContext("2d");
  c.setTransform(1, 0, 0, 1, 0, 0);
  c.clearRect(0, 0, canvas.width, canvas.height);
  c.setTransform(canvas.width / WIDTH, 0, 0, canvas.width / WIDTH, 0, 0);
  Object.assign(c, { lineWidth: 0.7, lineJoin: "round" });
  return c;
}

/** From the surface at the centre up to the top of the box. */
function paintPin(c, azimuth, elevation, us, vs) {
  const middle = (us.length - 1) / 2;
  const [across, up] = seen(azimuth, elevation)(0, 0, 1);
  const [foot, head] = [[us[middle], vs[middle]], [toU(across), toV(up)]];
  c.save();
  c.lineWidth = 2;
  c.strokeStyle = c.fillStyle = PIN;
  c.beginPath();
  c.moveTo(...foot);
  c.lineTo(...head);
  c.stroke();
  for (const [[u, v], radius] of [[foot, 2.5], [head, 4.5]]) {
    c.beginPath();
    c.arc(u, v, radius, 0, 2 * Math.PI);
    c.fill();
  }
  c.restore();
}

const purpose = () =>
  "A surface over a plane that turns, with a slider for the number of samples k.";

export default explorable({
  traits: ["k", "plane", "quantity", "azimuth", "elevation", "data"],
  purpose, controls, numbers, sentence, picture,
});
