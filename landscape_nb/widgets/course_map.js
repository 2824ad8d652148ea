// The map of the course: notebooks as radio buttons, so that the arrow keys go from one to the next,
// over a drawing of the arrows between them.

import { explorable, html } from "./explorable.js";
import { ownName, svg } from "./drawing.js";

const [COLUMNS, ROWS] = [4, 4];
const [BOX, TALL] = [100, 94]; // user units of the drawing behind: a column's width, a row's height
const MARKS = { done: "✓", begun: "◐" };
const PAGE_TICKS = "landscape-ticks"; // event of the exported pages: what was ticked there

const entryOf = ({ chosen, data }) => data.notebooks.find((one) => one.number === chosen);

/** The way to the chosen notebook, and minutes: of the whole way, and of what is left. */
export function numbers(state) {
  const { way } = entryOf(state);
  const on = state.data.notebooks.filter((one) => way.includes(one.number));
  const sum = (some) => some.reduce((minutes, one) => minutes + one.read, 0);
  const left = on.filter((one) => state.done[one.number] !== "done");
  return { way, total: sum(on), left: sum(left) };
}

/** The chosen notebook in words. */
export function sentence(state, { way, total, left }) {
  const one = entryOf(state);
  const rest = left < total ? `, of which ${left} are left. ` : ". ";
  const from = `The way there from the start: ${way.join(", ")}, ${total} minutes${rest}`;
  const told = { done: "You have done it.", begun: "You have begun it." };
  return (
    `${one.number} ${one.title}. ${one.question} ${one.read} minutes, and ` +
    `${one.exercises} for the exercises. After it you can ${one.after}. ` +
    `Needed before: ${one.before}. ${way.length > 1 ? from : ""}` +
    (told[state.done[one.number]] ?? "You have not begun it.")
  );
}

/** Where a notebook is opened: its page among pages, the notebook itself elsewhere. */
function address({ file }) {
  return "page" in document.body.dataset ? `${file}.html` : `${file}.ipynb`;
}

/** JupyterLab opens a notebook beside this one where a link tells its command and path. */
function openInLab(link, { file }) {
  const here = decodeURIComponent(location.pathname.split("/tree/")[1] ?? "");
  if ("page" in document.body.dataset || !here) return;
  const path = here.slice(0, here.lastIndexOf("/") + 1) + `${file}.ipynb`;
  link.dataset.commandlinkerCommand = "docmanager:open";
  link.dataset.commandlinkerArgs = JSON.stringify({ path });
}

function picture({ data }, set) {
  const name = ownName("course"); // of these radio buttons alone
  const boxes = data.notebooks.map((one) => boxOf(one, name, set));
  const lines = data.arrows.map((arrow) => arrowOf(arrow, data.notebooks));
  const behind = svg(
    "svg",
    { viewBox: `0 0 ${COLUMNS * BOX} ${ROWS * TALL}`, class: "ln-plot", "aria-hidden": "true" },
    ...lines.map(({ node }) => node),
  );
  const group = html("fieldset", { className: "ln-fieldset ln-course" },
    html("legend", { className: "ln-only-heard" }, "Notebooks"), behind, ...boxes.map(({ node }) => node));
  const link = html("a", { className: "ln-button ln-open" });
  const key = html("p", { className: "ln-note" },
    "An arrow leads to what needs a notebook first, a dashed one to what it helps with.");
  const stop = hearTicks(data, set);
  return {
    node: html("div", {}, html("p", {}, link), group, key),
    stop,
    draw(state, { way }) {
      const one = entryOf(state);
      link.href = address(one);
      link.textContent = `Open ${one.number} ${one.title}`;
      openInLab(link, one);
      for (const box of boxes) box.draw(state, way);
      for (const line of lines) line.draw(way);
    },
  };
}

function boxOf(one, name, set) {
  const [column, row] = one.place;
  const input = html("input", { type: "radio", name, value: one.number });
  input.addEventListener("change", () => set({ chosen: one.number }));
  const [mark, word] = [html("span"), html("span", { className: "ln-word" })];
  const state = html("span", { className: "ln-state" }, mark, word);
  const node = html("label", { className: "ln-book" }, input, html("b", {}, one.number),
    html("span", {}, one.title), html("small", {}, `${one.read} min`, state));
  node.style.left = `${(100 * (column + 0.5)) / COLUMNS}%`;
  node.style.top = `${(100 * (row + 0.5)) / ROWS}%`;
  return {
    node,
    draw({ chosen, done }, way) {
      const told = done[one.number];
      input.checked = one.number === chosen;
      input.setAttribute("aria-label",
        `${one.number} ${one.title}, ${one.read} minutes, ${told ?? "not begun"}`);
      mark.textContent = told ? ` ${MARKS[told]}` : "";
      word.textContent = told ? ` ${told}` : "";
      node.classList.toggle("ln-on-way", way.includes(one.number));
    },
  };
}

/** An arrow between the middles of two boxes; what lies under the boxes is not seen. */
function arrowOf([before, after, needed], notebooks) {
  const middle = (number) => {
    const [column, row] = notebooks.find((one) => one.number === number).place;
    return [(column + 0.5) * BOX, (row + 0.5) * TALL];
  };
  const [[x, y], [u, v]] = [middle(before), middle(after)];
  const [width, height] = [0.43 * BOX, 0.39 * TALL]; // half a box, as the style sheet has it
  const share = Math.min(width / Math.abs(u - x), height / Math.abs(v - y)); // of the line, in a box
  const [a, b] = [u - share * (u - x), v - share * (v - y)];
  const length = Math.hypot(u - x, v - y);
  const [dx, dy] = [(9 * (u - x)) / length, (9 * (v - y)) / length];
  const node = svg("g", { "data-arrow": `${before}-${after}`, fill: "none", "stroke-width": 2 },
    svg("path", { d: `M${x},${y}L${a - dx / 2},${b - dy / 2}`, "stroke-dasharray": needed ? "none" : "5 4" }),
    svg("path", { d: `M${a - dx - dy / 2},${b - dy + dx / 2}L${a},${b}L${a - dx + dy / 2},${b - dy - dx / 2}` }));
  return {
    node,
    draw(way) {
      const on = needed && way.includes(before) && way.includes(after);
      node.setAttribute("stroke", `var(--ln-${on ? "blue" : "line"})`);
    },
  };
}

/** On the exported pages: follow what is ticked there, {file: "begun" or "done"}. */
function hearTicks({ notebooks }, set) {
  const hear = ({ detail }) => {
    const found = notebooks.filter(({ file }) => file in detail);
    set({ done: Object.fromEntries(found.map(({ number, file }) => [number, detail[file]])) });
  };
  window.addEventListener(PAGE_TICKS, hear);
  return () => window.removeEventListener(PAGE_TICKS, hear);
}

const purpose = () => "The map of the course: choose a notebook.";

export default explorable({
  traits: ["chosen", "done", "data"], purpose, controls: () => [], numbers, sentence, picture,
});
