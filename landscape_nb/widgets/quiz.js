// A quick question: radio buttons and Check. What is right is known to the kernel alone, which is
// asked; on an exported page each option unfolds what it tells, without this module.

import { followTheme, html, keepKeys } from "./explorable.js";

const RESTARTED = "The kernel was restarted: run this cell again to check an answer.";
const BUSY = "Waiting for the kernel, which is still running a cell …";
const PATIENCE = 1000; // milliseconds, chosen here: sooner than this a kernel at rest answers
const DISCONNECTED = "jupyter-widgets-disconnected"; // ipywidgets marks so what has no kernel

function render({ model, el }) {
  // A name of its own: each question loads this file for itself, so a counter would begin anew.
  const name = `ln-quiz-${Math.random().toString(36).slice(2)}`;
  const radios = model.get("options").map((_, value) =>
    html("input", { type: "radio", name, value: String(value) }));
  const labels = model.get("options").map((says, i) =>
    html("label", { className: "ln-option" }, radios[i], html("span", {}, says)));
  const group = html("fieldset", { className: "ln-fieldset ln-quiz-options" },
    html("legend", {}, model.get("question")), ...labels);
  const check = html("button", { type: "button", className: "ln-button ln-commit" }, "Check");
  const told = html("p", { className: "ln-told", role: "status" });
  const root = html("div", { className: "ln-explorable ln-quiz", role: "group", "aria-label": "Question" },
    group, check, told);
  el.append(root);

  let waiting = 0;
  const say = (words, state = "") => {
    clearTimeout(waiting);
    told.textContent = words;
    root.dataset.state = state;
  };
  const press = () => {
    const option = radios.findIndex((radio) => radio.checked);
    if (option < 0) {
      say("Choose one first.");
      return radios[0].focus();
    }
    say("");
    waiting = setTimeout(() => say(BUSY), PATIENCE);
    return model.send({ check: option });
  };
  const hear = ({ option, right, words }) => {
    if (radios[option]?.checked) say(words, right ? "right" : "wrong");
  };
  const tellOfRestart = () => {
    check.disabled = true;
    say(RESTARTED);
  };
  check.addEventListener("click", press);
  for (const radio of radios) radio.addEventListener("change", () => say(""));
  model.on("msg:custom", hear);
  model.on("comm_live_update", tellOfRestart); // it was live, so it is no more
  const unwatch = followTheme(root);
  const unkeep = keepKeys(root);
  if (el.classList.contains(DISCONNECTED)) tellOfRestart();
  return () => {
    clearTimeout(waiting);
    model.off("msg:custom", hear);
    model.off("comm_live_update", tellOfRestart);
    unwatch();
    unkeep();
  };
}

export default { render };
