// Explorables on a page that has no kernel: the state lies in the page, beside a still picture.

/** What anywidget's model is, for a state that nobody else holds. */
function embedded(state) {
  const values = { ...state };
  const heard = new Map(); // event -> callbacks
  const fire = (event) => [...(heard.get(event) ?? [])].forEach((call) => call());
  return {
    get: (name) => values[name],
    set(name, value) {
      if (values[name] === value) return;
      values[name] = value;
      fire(`change:${name}`);
      fire("change");
    },
    save_changes() {},
    send() {},
    on: (event, call) => heard.set(event, [...(heard.get(event) ?? []), call]),
    off: (event, call) => heard.set(event, (heard.get(event) ?? []).filter((c) => c !== call)),
  };
}

/** Put each explorable of the page in place of its still picture, which printers keep. */
export function start(modules) {
  for (const figure of document.querySelectorAll("figure.explorable:not(.ln-alive)")) {
    const module = modules[figure.dataset.module];
    const state = JSON.parse(figure.querySelector("script").textContent);
    const el = document.createElement("div");
    figure.append(el);
    try {
      module.render({ model: embedded(state), el });
      figure.classList.add("ln-alive");
    } catch (error) {
      el.remove(); // the still picture stays
      console.error(`${figure.dataset.module} could not be drawn:`, error);
    }
  }
}
