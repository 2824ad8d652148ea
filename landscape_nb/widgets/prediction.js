// A prediction: a question, a guess, and a Commit that cannot be taken back.
//
// What a reader commits goes to the kernel, which keeps it and lets the answer be shown. On a page
// without a kernel the answer lies folded below; a commit opens it (`landscape:committed`).

import { axes } from "./drawing.js";
import { followTheme, html, keepKeys } from "./explorable.js";
import { general } from "./words.js";

const RESTARTED = "The kernel was restarted: run this cell again to predict.";
const DISCONNECTED = "jupyter-widgets-disconnected"; // ipywidgets marks so what has no kernel
const SIZE = { width: 420, height: 300 };
const STEPS = 40; // of a curve's point between the lower and the upper end of the axis

/** A number as people type it: 0.1, -2, 1e-3, 0,5; NaN for anything else. */
export function typed(text) {
  const plain = text.trim().replace("\u2212", "-");
  const number = /^[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?$/i;
  return number.test(plain) ? Number(plain.replace(",", ".")) : NaN;
}

// Each kind of question: {node, guess() -> value or null, complaint, words(value), show(value)}.

function number({ unit }, question) {
  const input = html("input", { type: "text", inputMode: "decimal", className: "ln-guess", autocomplete: "off" });
  input.setAttribute("aria-label", unit ? `${question} In ${unit}.` : question);
  const after = unit ? html("span", {}, unit) : "";
  return {
    node: html("span", { className: "ln-guess-number" }, input, after),
    field: input,
    guess: () => (Number.isFinite(typed(input.value)) ? typed(input.value) : null),
    complaint: "Write a number, such as 0.1 or 1e-3.",
    words: (value) => general(value) + (unit ? ` ${unit}` : ""),
    show: (value) => { input.value = general(value); input.disabled = true; },
  };
}

// Radio buttons of one question share a name, and no two questions do. (Each widget loads this file
// for itself, so a counter would begin anew in each.)
const groupName = () => `ln-choice-${Math.random().toString(36).slice(2)}`;

function choice({ options }, question) {
  const name = groupName();
  const radios = options.map((_, value) => html("input", { type: "radio", name, value }));
  const labels = options.map((words, i) => html("label", { className: "ln-option" }, radios[i], words));
  const node = html("fieldset", { className: "ln-fieldset ln-options" }, ...labels);
  node.setAttribute("aria-label", question);
  const chosen = () => radios.findIndex((radio) => radio.checked);
  return {
    node,
    field: radios[0],
    guess: () => (chosen() < 0 ? null : chosen()),
    complaint: "Choose one first.",
    words: (value) => options[value],
    show: (value) => radios.forEach((radio, i) => {
      radio.checked = i === value;
      radio.disabled = true;
    }),
  };
}

function curve({ x, heights: [low, high], xlabel }, question) {
  const plot = axes({
    ...SIZE, x: { range: [x[0] / 1.3, x.at(-1) * 1.3], log: true, ticks: x, label: xlabel },
    y: { range: [low, high], log: true },
  });
  const state = { heights: x.map(() => Math.sqrt(low * high)), touched: false, over: false };
  const line = plot.line("guess", { colour: "vermillion", dash: "--", width: 2.2 });
  const place = (i, height) => {
    state.heights[i] = Number(Math.max(low, Math.min(high, height)).toPrecision(3));
    state.touched = true;
    draw();
  };
  const knobs = x.map((at, i) => knob(`your guess at ${general(at)}`, [low, high],
    () => state.heights[i], (height) => !state.over && place(i, height)));
  const stage = html("div", { className: "ln-stage ln-sketch" }, plot.node, ...knobs.map((one) => one.node));
  const draw = () => {
    line.set(x, state.heights);
    knobs.forEach((one, i) => one.show(plot.x(x[i]), plot.y(state.heights[i])));
  };
  dragAcross(stage, plot, (u, v) => {
    if (state.over) return;
    const nearest = x.map((at) => Math.abs(plot.x(at) - u));
    place(nearest.indexOf(Math.min(...nearest)), plot.y.inverse(v));
  });
  draw();
  return {
    node: html("div", { className: "ln-panel", role: "group", "aria-label": question }, stage),
    field: knobs[0].node,
    guess: () => (state.touched ? [...state.heights] : null),
    complaint: "Drag the points to where you expect the curve.",
    words: (value) => value.map((v, i) => `${general(v, 3)} at ${general(x[i])}`).join(", "),
    show(value) {
      state.over = true;
      state.heights = [...value];
      knobs.forEach((one) => one.stop());
      draw();
    },
  };
}

/** A point of the curve for a finger and for keys; heights move in equal factors. */
function knob(label, [low, high], now, move) {
  const node = html("span", { className: "ln-point", role: "slider", tabIndex: 0, "aria-label": label, "aria-orientation": "vertical" });
  const factor = (high / low) ** (1 / STEPS);
  const keys = {
    ArrowUp: () => now() * factor, ArrowRight: () => now() * factor,
    ArrowDown: () => now() / factor, ArrowLeft: () => now() / factor,
    PageUp: () => now() * factor ** 5, PageDown: () => now() / factor ** 5,
    Home: () => low, End: () => high,
  };
  node.setAttribute("aria-valuemin", Math.log10(low));
  node.setAttribute("aria-valuemax", Math.log10(high));
  node.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    move(keys[event.key]());
  });
  return {
    node,
    show(u, v) {
      node.style.left = `${(100 * u) / SIZE.width}%`;
      node.style.top = `${(100 * v) / SIZE.height}%`;
      node.setAttribute("aria-valuenow", Math.log10(now()));
      node.setAttribute("aria-valuetext", general(now(), 3));
    },
    stop() {
      node.tabIndex = -1;
      node.setAttribute("aria-disabled", "true");
    },
  };
}

/** Draw with mouse, pen or finger: `at(u, v)` in the plot's own units. */
function dragAcross(stage, plot, at) {
  const tell = (event) => {
    const box = plot.node.getBoundingClientRect();
    at(((event.clientX - box.left) * SIZE.width) / box.width, ((event.clientY - box.top) * SIZE.height) / box.height);
  };
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    tell(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) tell(event);
  });
}

const KINDS = { number, choice, curve };

function render({ model, el }) {
  const question = model.get("question");
  const asks = model.get("asks");
  const part = KINDS[asks.kind](asks, question);
  const commit = html("button", { type: "button", className: "ln-button ln-commit" }, "Commit");
  const told = html("p", { className: "ln-told", role: "status" });
  const row = html("div", { className: "ln-answering" }, part.node, commit);
  const root = html(
    "div", { className: "ln-explorable ln-prediction", role: "group", "aria-label": "Prediction" },
    html("p", { className: "ln-question" }, html("strong", {}, "Predict. "), question), row, told,
  );
  el.append(root);

  const press = () => {
    const guess = part.guess();
    told.textContent = guess === null ? part.complaint : "";
    if (guess === null) return part.field.focus();
    model.set("committed", guess);
    model.save_changes();
    root.dispatchEvent(new CustomEvent("landscape:committed", { bubbles: true }));
  };
  const show = () => {
    const guess = model.get("committed") ?? null;
    if (guess === null) return;
    part.show(guess);
    commit.hidden = true;
    root.classList.add("ln-committed");
    told.textContent = `You predicted ${part.words(guess)}. ${model.get("trouble") ?? ""}`.trim();
  };
  const tellOfRestart = () => {
    if ((model.get("committed") ?? null) !== null) return;
    commit.disabled = true;
    told.textContent = RESTARTED;
  };
  commit.addEventListener("click", press);
  if (asks.kind === "number")
    part.field.addEventListener("keydown", (event) => event.key === "Enter" && !event.shiftKey && press());
  model.on("change:committed", show);
  model.on("change:trouble", show);
  model.on("comm_live_update", tellOfRestart); // it was live, so it is no more
  const unwatch = followTheme(root);
  const unkeep = keepKeys(root);
  show();
  if (el.classList.contains(DISCONNECTED)) tellOfRestart();
  return () => {
    model.off("change:committed", show);
    model.off("change:trouble", show);
    model.off("comm_live_update", tellOfRestart);
    unwatch();
    unkeep();
  };
}

export default { render };
