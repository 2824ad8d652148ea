// One more sample: a line's data, its loss landscape and how much that changes, as samples join.

import { button, explorable, html, slider } from "./explorable.js";
import { FIRST, numbers } from "./line_landscape.js";
import { panels } from "./one_more_sample_panels.js";
import { play } from "./play.js";
import { fixed, general } from "./words.js";

const PACE = 160; // ms between two samples while playing

/** The present state in words. */
export function sentence(_, { k, xs, ys, own, moved, changed }) {
  const place = `x = ${general(xs[k], 3)} and y = ${general(ys[k], 3)}`;
  const yours = own[k] < 0 ? "" : `Your sample, ${place}, comes next. `;
  return (
    `${yours}From k = ${k} to ${k + 1}: the minimiser moves by ${fixed(moved, 3)}; the mean ` +
    `squared change in the window is ${general(changed, 2)}.`
  );
}

/** The added samples when a reader has put one at (x, y): the next one, moved if it was added. */
function withNext({ added }, { k, own }, [x, y]) {
  if (own[k] < 0) return [...added, [x, y, k]];
  return added.map((sample, place) => (place === own[k] ? [x, y, sample[2]] : sample));
}

function controls({ k, data }, set) {
  const ks = [];
  let now = { k };
  const samples = slider({
    name: "k", label: "Samples k", meaning: "number of samples so far",
    low: FIRST, high: data.x.length - 1, step: 1, whole: true, text: String,
  }, set);
  samples.node.classList.add("ln-long");
  const film = play({ name: "k", values: ks, interval: PACE }, set);
  const press = {
    take: button({
      name: "take", meaning: "The next sample joins: k grows by one", text: () => "Take it in",
      press: () => set({ k: now.k + 1 }),
    }),
    shuffle: button({
      name: "shuffle", meaning: "Another order of the samples", text: () => "Shuffle",
      press: () => set({ order: (now.order + 1) % 2 ** 32 }),
    }),
    again: button({
      name: "again", meaning: "As at first, without your own samples", text: () => "Start again",
      press: () => set({ k: data.start, order: 0, added: [] }),
    }),
  };
  const buttons = [film, ...Object.values(press)];
  const row = html("div", { className: "ln-buttons" }, ...buttons.map((one) => one.node));
  const show = (state, { n }) => {
    now = state;
    for (let next = ks.length + FIRST; next < n; next += 1) ks.push(next);
    ks.length = n - FIRST;
    samples.node.querySelector("input").max = n - 1;
    press.take.node.disabled = state.k >= n - 1;
    for (const one of [samples, ...buttons]) one.show(state);
  };
  return [{ ...samples, show }, { node: row, show() {}, stop: film.stop }];
}

const picture = (state, set) =>
  panels(state, (now, found, point) => set({ added: withNext(now, found, point) }));

const purpose = () =>
  "One more sample: a line's data, its loss landscape, and how much that changes.";

export default explorable({
  traits: ["order", "added", "k", "data"], purpose, controls, numbers, sentence, picture,
});
