// The box around a surface in perspective: how an eye sees its points, its walls, axes and words.

import { svg } from "./drawing.js";

export const HEIGHT = 0.75; // of the box, where half of its side is 1
export const DISTANCE = 8; // from the eye to the middle of the box, in the same unit
const CLOSE = 14; // user units between two words that would touch
const SHORT = 80; // user units below which an axis, seen from its end, keeps its words to itself

/** Cosines and sines of the two angles that say where the eye is. */
function turned(azimuth, elevation) {
  const [a, e] = [azimuth, elevation].map((degrees) => (degrees * Math.PI) / 180);
  return { ca: Math.cos(a), sa: Math.sin(a), ce: Math.cos(e), se: Math.sin(e) };
}

/** How the eye sees a point (x and y in -1..1, its height in 0..1): across to the right, and up. */
export function seen(azimuth, elevation) {
  const { ca, sa, ce, se } = turned(azimuth, elevation);
  return (x, y, height) => {
    const z = HEIGHT * (2 * height - 1);
    const ahead = ca * x + sa * y;
    const size = DISTANCE / (DISTANCE - ce * ahead - se * z);
    return [size * (ca * y - sa * x), size * (ce * z - se * ahead)];
  };
}

/** Where the eye stands along x and y. */
export function standpoint(azimuth, elevation) {
  const { ca, sa, ce } = turned(azimuth, elevation);
  return [DISTANCE * ce * ca, DISTANCE * ce * sa];
}

/**
 * Lines and words of the box from one side: {walls, axes, words}.
 *
 * @param {object} view place(x, y, height) -> [u, v] in user units; eye: the standpoint;
 *   flat: ticks along x and y, [place in -1..1, label]; tall: ticks of the height, [0..1, label];
 *   unit: what the height is.
 */
export function box({ place, eye, flat, tall, unit }) {
  const [sx, sy] = eye.map((part) => (part < 0 ? -1 : 1)); // the sides that are near
  const around = [[sx, -sy], [-sx, -sy], [-sx, sy]]; // posts of the two walls behind
  const floor = [[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]];
  const walls = [
    ...tall.map(([z]) => around.map(([x, y]) => place(x, y, z))),
    ...around.map(([x, y]) => [place(x, y, 0), place(x, y, 1)]),
    floor.map(([x, y]) => place(x, y, 0)),
  ];
  const [one, other] = [around[0], around[2]];
  const post = place(...one, 0)[0] < place(...other, 0)[0] ? one : other; // the one on the left
  const middle = place(0, 0, 0.5);
  const axes = [
    axis({ at: (t) => place(t, sy, 0), ends: [-1, 1], ticks: flat, name: "step x", middle }),
    axis({ at: (t) => place(sx, t, 0), ends: [-1, 1], ticks: flat, name: "step y", middle }),
    axis({ at: (t) => place(...post, t), ends: [0, 1], ticks: tall, name: unit, middle, upright: true }),
  ];
  return {
    walls: walls.map(joined).join(""),
    axes: axes.map(({ lines }) => lines.map(joined).join("")).join(""),
    words: apart(axes.map(({ words }) => words)),
  };
}

/** Words of all axes, less those of the floor that would stand on a height's. */
function apart([x, y, tall]) {
  const free = ([u, v]) => tall.every((word) => Math.hypot(word[0] - u, word[1] - v) > CLOSE);
  return [...x.filter(free), ...y.filter(free), ...tall];
}

/** One axis: its line and ticks, and words on the side that faces away from the middle. */
function axis({ at, ends, ticks, name, middle, upright = false }) {
  const [start, end] = ends.map(at);
  const [du, dv] = [end[0] - start[0], end[1] - start[1]];
  const length = Math.hypot(du, dv);
  if (length < SHORT) return { lines: [[start, end]], words: [] };
  const half = at((ends[0] + ends[1]) / 2);
  const out = (half[0] - middle[0]) * -dv + (half[1] - middle[1]) * du < 0 ? -1 : 1;
  const [nu, nv] = [(-dv / length) * out, (du / length) * out];
  const beside = ([u, v], far) => [u + far * nu, v + far * nv];
  // words beside a steep axis begin or end there, so that long ones keep clear of it
  const anchor = Math.abs(nu) < 0.6 ? "middle" : nu < 0 ? "end" : "start";
  const [close, far] = anchor === "middle" ? [18, 42] : [11, 44];
  const words = ticks.map(([value, label]) => [...beside(at(value), close), label, anchor]);
  words.push(upright ? [end[0], end[1] - 16, name, "middle"] : [...beside(half, far), name, anchor]);
  return {
    lines: [[start, end], ...ticks.map(([value]) => [at(value), beside(at(value), 6)])],
    words,
  };
}

const short = (v) => Math.round(10 * v) / 10;
const joined = (points) => `M${points.map(([u, v]) => `${short(u)},${short(v)}`).join("L")}`;

/** A pen for words that come and go: [[u, v, text, anchor], ...]. */
export function writer(parent) {
  const nodes = [];
  return (words) => {
    while (nodes.length < words.length) {
      nodes.push({ node: svg("text"), has: {} });
      parent.append(nodes.at(-1).node);
    }
    nodes.forEach(({ node, has }, i) => {
      const [u, v, text, anchor] = words[i] ?? [0, 0, "", "middle"];
      // by transform: a word that has moved is not shaped and measured again
      const wanted = { transform: `translate(${short(u)},${short(v + 5)})`, "text-anchor": anchor };
      for (const [name, value] of Object.entries(wanted))
        if (has[name] !== value) node.setAttribute(name, (has[name] = value));
      if (has.text !== text) node.textContent = has.text = text;
    });
  };
}
