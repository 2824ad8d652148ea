// The pictures of one more sample: data, both bowls, the squared change, and perhaps the change along k.

import { html } from "./explorable.js";
import { DASHES, axes, legend, ownName, svg } from "./drawing.js";
import { SCALES, colourOf, colours } from "./colours.js";
import { FIRST, gridMoments } from "./line_landscape.js";
import { general, powerOfTen } from "./words.js";

const NARROW = 600; // px: below, the data have a row of their own
const QUANTITY = "squared change"; // what the heat map shows
const PIXELS = 96; // to a side of the heat map, which the browser smooths
const SIGNS = { before: "+", after: "x" };
const LOOKS = {
  before: { colour: "blue", dash: "-", width: 2 },
  after: { colour: "orange", dash: "--", width: 2 },
};
const COUNTS = [2, 3, 4, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000];

/** Widths, heights and margins in px, so that words keep their size whatever the width. */
function sizes(width) {
  const [top, bottom, bar] = [30, 50, 50];
  if (width < NARROW) {
    const [gap, left, right] = [6, 38, 6];
    const box = Math.floor((width - gap - left - 2 * right - bar) / 2);
    const height = box + top + bottom;
    const data = { width, height: Math.round(Math.min(0.6 * width, 250)), margin: { left, right, top, bottom } };
    const bowl = { width: box + left + right, height, margin: { left, right, top, bottom } };
    const change = { width: box + right + bar, height, margin: { left: right, right: bar, top, bottom } };
    return { narrow: true, data, bowl, change, curve: { width, height: 210, margin: { left: 64, right, top, bottom } } };
  }
  const [gap, left, right] = [10, 44, 10];
  const box = Math.floor((width - 2 * gap - 3 * left - 2 * right - bar) / 3);
  const height = box + top + bottom;
  const plain = { width: box + left + right, height, margin: { left, right, top, bottom } };
  const change = { width: box + left + bar, height, margin: { left, right: bar, top, bottom } };
  const curve = { width, height: 200, margin: { left: 66, right, top, bottom } };
  return { narrow: false, data: plain, bowl: plain, change, curve };
}

/** A number with its digits as an index: L₁₂. */
const index = (k) => [...String(k)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("");

function text(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

/** The data, the best line before and after, and the next sample. */
function dataPlot(size, { view }) {
  const plot = axes({ ...size, x: { range: view[0], label: "x", most: 5 }, y: { range: view[1], label: "y", most: 5 } });
  const sofar = plot.shape("samples", "path", {
    "data-part": "dots",
    fill: "none", stroke: "var(--ln-line)", "stroke-width": 6.5, "stroke-linecap": "round",
  });
  const own = plot.dots("own", { colour: "purple", marker: "s", size: 1.15 });
  const lines = ["before", "after"].map((when) => plot.line(when, LOOKS[when]));
  const next = plot.dots("next", { colour: "vermillion", marker: "D", size: 1.5 });
  next.node.setAttribute("stroke", "var(--ln-ground)");
  let drawn = {};
  const dot = (x, i) => `M${plot.x(x).toFixed(1)},${plot.y(drawn.ys[i]).toFixed(1)}h0`;
  return {
    plot,
    draw({ k, xs, ys, own: mine, before, after }) {
      if (drawn.xs !== xs) {
        drawn = { xs, ys };
        drawn.dots = xs.map(dot);
      }
      sofar.set({ d: drawn.dots.slice(0, k).filter((_, i) => mine[i] < 0).join("") });
      const places = mine.slice(0, k).flatMap((place, i) => (place < 0 ? [] : [i]));
      own.set(places.map((i) => xs[i]), places.map((i) => ys[i]));
      for (const [i, [slope, offset]] of [before, after].entries())
        lines[i].set(view[0], view[0].map((x) => slope * x + offset));
      next.set([xs[k]], [ys[k]]);
      text(plot.heading, `The data, k = ${k}`);
    },
  };
}

/** Both landscapes as level curves: sheared circles, moved and never drawn anew. */
function bowlPlot(size, { window: [slopes, offsets], levels }) {
  const plot = axes({
    ...size,
    x: { range: slopes, label: "slope w₁", most: 4 }, y: { range: offsets, label: "offset w₂", most: 4 },
  });
  const rings = ["before", "after"].map((when) => {
    const { colour, dash } = LOOKS[when];
    return levels.map(() => plot.shape(`level ${when}`, "circle", {
      r: 1, fill: "none", stroke: `var(--ln-${colour})`, "stroke-width": 1.6,
      "stroke-dasharray": DASHES[dash], "vector-effect": "non-scaling-stroke",
    }));
  });
  const signs = ["before", "after"].map((when) =>
    plot.dots(`bottom ${when}`, { colour: LOOKS[when].colour, marker: SIGNS[when], size: 1.4 }));
  const [unitX, unitY] = [plot.x(1) - plot.x(0), plot.y(1) - plot.y(0)];
  return {
    plot,
    draw({ k, bowls }) {
      bowls.forEach(({ bottom: [slope, offset], height, mean, variance }, i) => {
        const [u, v, thin] = [plot.x(slope), plot.y(offset), 1 / Math.sqrt(variance)];
        levels.forEach((level, j) => {
          const wide = Math.sqrt(2 * Math.max(0, level - height));
          const across = [unitX * wide * thin, -unitY * mean * wide * thin];
          rings[i][j].set({ transform: `matrix(${across.join()},0,${unitY * wide},${u},${v})` });
        });
        signs[i].set([slope], [offset]);
      });
      text(plot.heading, `${size.width > 240 ? "The loss landscapes " : ""}L${index(k)} and L${index(k + 1)}`);
    },
  };
}

/** The squared change as colours. */
function changePlot(size, narrow, { window: [slopes, offsets], grid }) {
  const plot = axes({
    ...size,
    x: { range: slopes, label: "slope w₁", most: 4 },
    y: { range: offsets, label: narrow ? "" : "offset w₂", ticks: narrow ? [[0, ""], [1, ""]] : undefined, most: 4 },
  });
  const canvas = html("canvas", { width: PIXELS, height: PIXELS, className: "ln-heat" });
  const { left, right, top, bottom } = plot.box;
  const percent = (part, whole) => `${(100 * part) / whole}%`;
  Object.assign(canvas.style, {
    left: percent(left, size.width), width: percent(right - left, size.width),
    top: percent(top, size.height), height: percent(bottom - top, size.height),
  });
  plot.node.append(colourBar(plot.box));
  const paint = painter(canvas, grid);
  return {
    plot,
    canvas,
    draw({ k, increment }) {
      paint(increment);
      text(plot.heading, `${size.width > 240 ? "Squared change " : ""}(L${index(k + 1)} − L${index(k)})²`);
    },
  };
}

/**
 * What paints the square of an increment, given by its coefficients on the window. A pixel has the
 * colour of the smallest change inside of it, or the furrow would be lost between the pixels.
 */
function painter(canvas, grid) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(PIXELS, PIXELS);
  const words = new Uint32Array(image.data.buffer);
  const table = colours(QUANTITY);
  const opaque = new Uint8ClampedArray(1024).map((_, i) => (i % 4 === 3 ? 255 : table[3 * (i >> 2) + (i % 4)]));
  const palette = new Uint32Array(opaque.buffer);
  const [m2] = gridMoments(grid);
  const place = Float64Array.from({ length: PIXELS }, (_, i) => (2 * i + 1) / PIXELS - 1);
  const [low, high] = SCALES[QUANTITY].limits.map(Math.log);
  let drawn;
  return (increment) => {
    if (increment === drawn) return;
    drawn = increment;
    const [one, u, v, uu, uv] = increment;
    for (let row = 0, i = 0; row < PIXELS; row += 1) {
      const y = -place[row];
      const [constant, slope] = [one + v * y - uu * m2, u + uv * y];
      for (let column = 0; column < PIXELS; column += 1, i += 1) {
        const x = place[column];
        const fall = Math.abs(slope + 2 * uu * x) + Math.abs(v + uv * x);
        const height = Math.abs(constant + x * (slope + uu * x)) - fall / PIXELS;
        const t = height > 0 ? (255 * (2 * Math.log(height) - low)) / (high - low) : 0;
        words[i] = palette[t > 255 ? 255 : t > 0 ? t | 0 : 0];
      }
    }
    context.putImageData(image, 0, 0);
  };
}

function colourBar({ right, top, bottom }) {
  const id = ownName("bar");
  const stops = Array.from({ length: 17 }, (_, i) =>
    svg("stop", { offset: i / 16, "stop-color": `rgb(${colourOf(i / 16, QUANTITY)})` }));
  const gradient = svg("linearGradient", { id, x1: 0, x2: 0, y1: 1, y2: 0 }, ...stops);
  const bar = svg("rect", { x: right + 8, y: top, width: 10, height: bottom - top, fill: `url(#${id})` });
  const [low, high] = SCALES[QUANTITY].limits.map((limit) => Math.round(Math.log10(limit)));
  const labels = [];
  for (let e = low; e <= high; e += 2) {
    const v = bottom + ((e - low) / (high - low)) * (top - bottom);
    labels.push(svg("text", { x: right + 21, y: v + 4.5, "data-value": 10 ** e }, powerOfTen(e)));
  }
  return svg("g", { class: "ln-bar" }, gradient, bar, ...labels);
}

/** The mean squared change against k, in this order and averaged over all orders. */
function curvePlot(size, { limits }, most) {
  const ticks = COUNTS.filter((k) => k <= most);
  const plot = axes({
    ...size,
    x: { range: [0.93 * FIRST, most], log: true, label: "samples so far, k", ticks },
    y: { range: limits, log: true, label: "mean square", most: 4 },
  });
  text(plot.heading, size.width > 500 ? "Mean squared change in the window, sample by sample" : "Mean squared change along k");
  const average = plot.line("average", { colour: "green", dash: "-.", width: 2 });
  const here = plot.line("here", { colour: "vermillion", dash: ":", width: 1.6 });
  const order = plot.line("order", { colour: "quiet", width: 1.6 });
  const now = plot.dots("now", { colour: "vermillion", marker: "D", size: 1.5 });
  now.node.setAttribute("stroke", "var(--ln-ground)");
  const value = plot.words("now", { dy: -9 });
  value.node.classList.add("ln-halo");
  let drawn;
  return {
    plot,
    draw({ k, changes, changed, spread }) {
      if (drawn !== changes) {
        drawn = changes;
        const ks = changes.map((_, i) => i + FIRST);
        order.set(ks, changes);
        average.set(ks, ks.map((j) => spread / (j * (j + 1))));
      }
      here.set([k, k], limits);
      now.set([k], [changed]);
      const left = k > most / 2;
      value.node.setAttribute("text-anchor", left ? "end" : "start");
      const [, highest] = limits; // a number beyond the axis is written at its end
      value.set(left ? k / 1.03 : k * 1.03, Math.min(changed, highest / 10), general(changed, 2));
    },
  };
}

/**
 * A cross that arrow keys move over a plot, for those who do not point: Enter adds a sample there.
 * It is the keyboard's way only, so it is seen when it has the focus and lets clicks through.
 */
function cross({ view }, put) {
  const node = html("div", {
    className: "ln-cross", role: "slider", tabIndex: 0,
    "aria-label": "Place of a sample of yours. Arrow keys move it, with Shift farther; Enter adds it",
    "aria-valuemin": view[0][0], "aria-valuemax": view[0][1],
  });
  node.append(svg("svg", { viewBox: "0 0 44 44", "aria-hidden": "true" },
    svg("path", { d: "M22,6V38M6,22H38" })));
  let [plot, place, shown] = [null, [0, 0], null];
  const set = (point) => {
    place = point;
    node.style.left = `${(100 * plot.x(place[0])) / plot.size.width}%`;
    node.style.top = `${(100 * plot.y(place[1])) / plot.size.height}%`;
    node.setAttribute("aria-valuenow", place[0]);
    node.setAttribute("aria-valuetext", `x = ${general(place[0], 3)}, y = ${general(place[1], 3)}`);
  };
  node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
    const [way, size] = [ways[event.key], event.shiftKey ? 5 : 1];
    if (way) set(rounded(place.map((v, i) => v + way[i] * size * step(view[i])), view));
    else if (event.key === "Home") set([view[0][0], place[1]]);
    else if (event.key === "End") set([view[0][1], place[1]]);
    else if (event.key === "Enter" || event.key === " ") put(place);
    else return;
    event.preventDefault();
  });
  return {
    node,
    on: (other) => ([plot, shown] = [other, null]),
    /** To the next sample when that has changed; else it stays where the reader has moved it. */
    follow({ k, xs, ys }) {
      const next = `${xs[k]},${ys[k]}`;
      if (next !== shown) set([xs[k], ys[k]]);
      shown = next;
    },
  };
}

/** One fiftieth of an axis, as a round number. */
const step = ([low, high]) => Number(((high - low) / 50).toPrecision(1));

/** A point inside the view with as many digits as a pixel is worth. */
function rounded(point, view) {
  return point.map((v, i) => {
    const [low, high] = view[i];
    const digits = Math.max(0, 2 - Math.floor(Math.log10(high - low)));
    return Number(Math.max(low, Math.min(high, v)).toFixed(digits)) + 0; // and not minus zero
  });
}

const MEANINGS = [
  { label: "samples so far", colour: "line", marker: "o" },
  { label: "the next sample", colour: "vermillion", marker: "D" },
  { label: "best line and landscape before it joins", ...LOOKS.before },
  { label: "after", ...LOOKS.after },
];
const OWN = { label: "taken in from you", colour: "purple", marker: "s" };
const CURVES = [
  { label: "this order", colour: "quiet", dash: "-" },
  { label: "average over all orders", colour: "green", dash: "-.", width: 2 },
];

/** All plots for one width. */
function built(width, most, data, handle, put) {
  const size = sizes(width);
  const shown = dataPlot(size.data, data);
  const bowl = bowlPlot(size.bowl, data);
  const change = changePlot(size.change, size.narrow, data);
  const curve = data.curve ? curvePlot(size.curve, data, most) : null;
  const parts = [shown, bowl, change, ...(curve ? [curve] : [])];
  const own = legend([OWN]).firstChild;
  const meanings = legend(MEANINGS);
  meanings.append(own);
  const hint = html("p", { className: "ln-hint" },
    legend([MEANINGS[1]]).firstChild.firstChild,
    `${size.narrow ? "Tap in the upper" : "Click in the left"} picture to add a sample.`);
  const panel = (name, { width: share }, ...children) => {
    const node = html("div", { className: `ln-spot ln-spot-${name}` }, ...children);
    node.style.flex = `${share} 1 0`;
    return node;
  };
  const node = html("div", { className: "ln-one-more" },
    html("div", { className: `ln-trio${size.narrow ? " ln-narrow" : ""}` },
      panel("data", size.data, shown.plot.node, handle.node),
      panel("bowl", size.bowl, bowl.plot.node),
      panel("change", size.change, change.canvas, change.plot.node)),
    hint,
    meanings,
    ...(curve ? [panel("curve", size.curve, curve.plot.node), legend(CURVES)] : []));
  shown.plot.node.classList.add("ln-pointed");
  shown.plot.node.addEventListener("click", ({ clientX, clientY }) => {
    const { left, top, width: across, height: down } = shown.plot.node.getBoundingClientRect();
    const u = ((clientX - left) / across) * size.data.width;
    const v = ((clientY - top) / down) * size.data.height;
    const { box, x, y } = shown.plot;
    if (u >= box.left && u <= box.right && v >= box.top && v <= box.bottom)
      put(rounded([x.inverse(u), y.inverse(v)], data.view));
  });
  handle.on({ ...shown.plot, size: size.data });
  return {
    node,
    draw(numbers) {
      for (const part of parts) part.draw(numbers);
      handle.follow(numbers);
      own.hidden = !numbers.own.some((place, i) => place >= 0 && i < numbers.k);
    },
  };
}

/**
 * All pictures. They are drawn anew when their width changes, so that words keep their size.
 *
 * @param {object} state; put(state, numbers, point): what a reader's point does.
 */
export function panels({ data }, put) {
  const node = html("div");
  let [width, most, now, picture] = [1000, 0, null, null];
  const handle = cross(data, (point) => put(...now, point));
  const build = () => {
    const held = handle.node.matches(":focus");
    picture = built(width, most, data, handle, (point) => put(...now, point));
    node.replaceChildren(picture.node);
    if (held) handle.node.focus();
  };
  const watch = new ResizeObserver(([{ contentRect }]) => {
    if (!contentRect.width || Math.abs(contentRect.width - width) < 1) return;
    width = contentRect.width;
    build();
    picture.draw(now[1]);
  });
  watch.observe(node);
  return {
    node,
    draw(state, numbers) {
      now = [state, numbers];
      if (numbers.n > most) {
        most = Math.ceil(1.15 * numbers.n);
        build();
      }
      picture.draw(numbers);
    },
    stop: () => watch.disconnect(),
  };
}
