// A list of names to choose one from.

import { html } from "./explorable.js";

/** `options`: [value, words] pairs of the setting `name`. */
export function select({ name, label, options }, set) {
  const input = html(
    "select",
    { className: "ln-select" },
    ...options.map(([value, words]) => html("option", { value }, words)),
  );
  input.addEventListener("change", () => set({ [name]: input.value }));
  const node = html("label", { className: "ln-choice" }, html("span", {}, label), input);
  node.dataset.trait = name;
  return {
    node,
    show(state) {
      if (input.value !== state[name]) input.value = state[name];
    },
  };
}
