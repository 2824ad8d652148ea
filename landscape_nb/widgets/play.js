// A Play button: it moves one setting step by step to its end, as a film.

import { html, lessMotion } from "./explorable.js";

/**
 * A button that plays one setting from where it is to its last value, and pauses when pressed again
 * or when somebody else moves the setting. At the end it stops; pressed there, it begins anew.
 * Who has asked for less motion is taken to the end at once, and the button says so.
 *
 * @param {object} options name of the trait; from, to: whole numbers, or else values: a list;
 *   interval: milliseconds between two steps. Below 300 a screen reader hears the end only.
 */
export function play({ name, from, to, values = whole(from, to), interval = 150 }, set) {
  const node = html("button", { type: "button", className: "ln-button" });
  node.dataset.button = "play";
  let timer = 0;
  let present; // the setting's value, as last shown or set

  const say = () => {
    const words = timer ? "Pause" : lessMotion() ? "To the end" : "Play";
    if (node.textContent !== words) node.textContent = words;
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    say();
  };
  const go = (value) => {
    present = value;
    set({ [name]: value });
  };
  const step = () => {
    const next = values.find((value) => value > present);
    if (next !== undefined) go(next);
    if (!(next < values.at(-1))) stop();
  };
  const start = () => {
    if (lessMotion()) return go(values.at(-1));
    if (present >= values.at(-1)) go(values[0]);
    timer = setInterval(step, interval);
    say();
  };
  node.addEventListener("click", () => (timer ? stop() : start()));
  return {
    node,
    stop,
    show(state) {
      if (timer && state[name] !== present) stop(); // a reader has taken over
      present = state[name];
      say();
    },
  };
}

function whole(from, to) {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
