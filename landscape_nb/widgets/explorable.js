// The frame of every explorable: controls above, the numbers in words, the picture below.
//
// An explorable is a closed form of its state. Its module says which controls there are, how the
// state becomes numbers, numbers become a sentence, and both become a picture; the frame listens,
// draws at most once a frame, and hands each move to the model: a kernel's, or the page's own.

const QUIET = 300; // ms without a move after which a screen reader is given the new words
const ROOM = 24; // characters more than the longest sentence seen for which room is kept

/** An HTML element with properties; children may be elements or text. */
export function html(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/**
 * What anywidget and the pages call to show an explorable.
 *
 * @param {object} parts
 *   traits: names of the settings that a reader can change, and of the data;
 *   purpose(state): what this is, in a few words, for a screen reader;
 *   controls(state): list of `slider`, `choice`, `button` or anything else with {node, show(state)};
 *   numbers(state): everything that is shown, computed; the package computes the same;
 *   sentence(state, numbers): the same words as the package's;
 *   picture(state, set): {node, draw(state, numbers)}; `set(changes)` moves from inside it.
 */
export function explorable(parts) {
  const read = (model) => Object.fromEntries(parts.traits.map((name) => [name, model.get(name)]));
  const render = ({ model, el }) => show(parts, read, model, el);
  return { ...parts, render };
}

function show(parts, read, model, el) {
  const set = (changes) => {
    for (const [name, value] of Object.entries(changes)) model.set(name, value);
    model.save_changes();
  };
  const first = read(model);
  const controls = parts.controls(first, set);
  const words = html("p", { className: "ln-words", role: "status" });
  const [room, keepRoom] = roomFor();
  for (const ends of controls.flatMap((control) => control.ends ?? [])) {
    const there = { ...first, ...ends };
    keepRoom(parts.sentence(there, parts.numbers(there)));
  }
  const picture = parts.picture(first, set);
  const root = html(
    "div",
    { className: "ln-explorable", role: "group", "aria-label": parts.purpose(first) },
    html("div", { className: "ln-controls" }, ...controls.map((control) => control.node)),
    html("div", { className: "ln-spoken" }, words, room),
    picture.node,
  );
  root.landscapeState = () => read(model); // for who asks, such as tests
  el.append(root);

  const draw = () => {
    const state = read(model);
    const numbers = parts.numbers(state);
    const sentence = parts.sentence(state, numbers);
    for (const control of controls) control.show(state, numbers);
    keepRoom(sentence);
    if (words.textContent !== sentence) spoken(words, sentence);
    picture.draw(state, numbers);
    root.dataset.drawn = String(1 + Number(root.dataset.drawn ?? 0));
  };
  let asked = 0;
  const ask = () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      draw();
    });
  };
  const events = parts.traits.map((name) => `change:${name}`);
  for (const event of events) model.on(event, ask);
  const unwatch = followTheme(root);
  const unkeep = keepKeys(root);
  draw();
  return () => {
    cancelAnimationFrame(asked);
    for (const event of events) model.off(event, ask);
    for (const part of [...controls, picture]) part.stop?.();
    unwatch();
    unkeep();
  };
}

/**
 * Keys pressed in here are for here: JupyterLab's D D would delete the cell. It asks the element
 * that has the keyboard alone, no other around it. Ctrl+S and the like stay JupyterLab's.
 */
export function keepKeys(root) {
  const keep = ({ target, ctrlKey, metaKey }) => {
    if (root.contains(target))
      target.toggleAttribute("data-lm-suppress-shortcuts", !(ctrlKey || metaKey));
  };
  window.addEventListener("keydown", keep, true); // before JupyterLab looks
  return () => window.removeEventListener("keydown", keep, true);
}

/** Call `tell` once nothing here can reach a kernel any more; returns how to stop waiting for it. */
export function whenKernelIsLost({ model, el }, tell) {
  model.on("comm_live_update", tell); // it was live, so it is no more
  if (el.classList.contains("jupyter-widgets-disconnected")) tell(); // ipywidgets marks it so
  return () => model.off("comm_live_update", tell);
}

/**
 * An unseen copy of the longest sentence so far, behind the words, and how to offer it another: or
 * what is being dragged would jump with each line that comes or goes. It wraps at every width.
 */
function roomFor() {
  const node = html("div", { className: "ln-room", "aria-hidden": "true" });
  const more = " 0000000".repeat(ROOM / 8);
  let most = 0;
  const offer = (sentence) => {
    if (sentence.length <= most) return;
    most = sentence.length + more.length;
    node.textContent = sentence + more;
  };
  return [node, offer];
}

/** New words at once for the eye; for the ear when the moving has stopped. */
function spoken(words, sentence) {
  words.setAttribute("aria-busy", "true");
  words.textContent = sentence;
  clearTimeout(words.lnTimer);
  words.lnTimer = setTimeout(() => words.setAttribute("aria-busy", "false"), QUIET);
}

/**
 * A slider for a number.
 *
 * @param {object} options name of the trait; label, and what it means (tooltip); low, high, step:
 *   on the slider's own scale, the exponent of ten where `log`; text(value): as it is written.
 */
export function slider({ name, label, meaning, low, high, step, log = false, whole = false, text }, set) {
  const input = html("input", { type: "range", min: low, max: high, step });
  const at = (value) => (log ? Math.log10(value) : value);
  // the digits behind the step's are noise of the slider's arithmetic: 0.30000000000000004
  const value = () => {
    const place = Number(Number(input.value).toFixed(9));
    return log ? Number((10 ** place).toPrecision(12)) : whole ? Math.round(place) : place;
  };
  input.addEventListener("input", () => set({ [name]: value() }));
  const ends = [low, high].map((end) => ({ [name]: log ? 10 ** end : end }));
  return { ...labelled({ name, label, meaning, input, place: at, text }), ends };
}

/** A slider over a list of values: only these can be chosen. */
export function choice({ name, label, meaning, values, text = String }, set) {
  const input = html("input", { type: "range", min: 0, max: values.length - 1, step: 1 });
  input.addEventListener("input", () => set({ [name]: values[Number(input.value)] }));
  const ends = [values[0], values.at(-1)].map((end) => ({ [name]: end }));
  const place = (value) => values.indexOf(value);
  return { ...labelled({ name, label, meaning, input, place, text }), ends };
}

function labelled({ name, label, meaning, input, place, text }) {
  const number = html("output", { className: "ln-number", "aria-hidden": "true" });
  input.setAttribute("aria-label", meaning ? `${label}, ${meaning}` : label);
  input.title = meaning ?? "";
  const node = html("label", { className: "ln-slider" }, html("span", {}, label), input, number);
  node.dataset.trait = name;
  return {
    node,
    show(state) {
      const position = String(place(state[name]));
      // a value between two steps keeps the slider's nearest place, and its own digits
      if (Number(input.value) !== Number(position)) input.value = position;
      const words = text(state[name]);
      if (number.textContent !== words) {
        number.textContent = words;
        input.setAttribute("aria-valuetext", words);
      }
    },
  };
}

/** A button; `text(state)` may change with the state. */
export function button({ name, meaning, text, press }) {
  const node = html("button", { type: "button", className: "ln-button", title: meaning ?? "" });
  node.dataset.button = name;
  node.addEventListener("click", press);
  return {
    node,
    show(state) {
      const words = text(state);
      if (node.textContent !== words) node.textContent = words;
    },
  };
}

/** Panels beside each other where there is room; each is a list of what stands in it. */
export function sideBySide(...panels) {
  return html("div", { className: "ln-panels" }, ...panels.map((parts) =>
    html("div", { className: "ln-panel" }, ...parts)));
}

/** Whether a reader has asked for less motion. */
export function lessMotion() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

// ---- light and dark --------------------------------------------------------------------------

/** Keep data-theme of an element the theme of what is behind it; returns how to stop. */
export function followTheme(root) {
  const look = () => {
    root.dataset.theme = isDark(root) ? "dark" : "light";
  };
  const later = () => requestAnimationFrame(() => requestAnimationFrame(look));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const changed = new MutationObserver(later);
  for (const part of [document.documentElement, document.body])
    changed.observe(part, { attributes: true }); // where front ends say which theme they have
  dark.addEventListener("change", later);
  look();
  later(); // a view may be drawn before it is in the page
  return () => {
    changed.disconnect();
    dark.removeEventListener("change", later);
  };
}

/**
 * Whether the first ground behind an element that hides what is below it is dark. Where there is
 * none (a frame that another page lies behind), the words around it tell: light ones stand on dark.
 */
function isDark(element) {
  for (let part = element; part; part = part.parentElement) {
    const [r, g, b, opaque] = channels(getComputedStyle(part).backgroundColor);
    if (opaque > 127) return 0.2126 * r + 0.7152 * g + 0.0722 * b < 127;
  }
  const [r, g, b] = channels(getComputedStyle(element.parentElement).color);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 127;
}

let canvas;
/** A CSS colour of any notation as red, green, blue and opacity, 0..255. */
function channels(colour) {
  canvas ??= html("canvas", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return canvas.getImageData(0, 0, 1, 1).data;
}
