// A language model reads a text: each character with its surprise, what the model expected in its
// place, and what the text would change as the next sample. All from tables of exact probabilities.

import { explorable, html, sideBySide, slider } from "./explorable.js";
import { axes, legend, ownName } from "./drawing.js";
import { fixed, scientific } from "./words.js";

const DEEPEST = 45; // percent of the colour behind the most surprising character: more hides it
const TALLEST = 26; // px of the bar below it
const SIGNS = { " ": "·", "\n": "↵" }; // what stands for the invisible
const NAMED = { " ": "a space", "\n": "a new line" };

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const named = (sign) => NAMED[sign] ?? `“${sign}”`;
const letters = (text) => [...text]; // by character, not by half of one
const lossOf = (text, stage) => mean(text.read[stage].surprises);

/** Surprises, loss and increment of the text; what was expected at the place. */
export function numbers({ text, stage, place, data: { stages, texts } }) {
  const losses = texts[text].read.map(({ surprises }) => mean(surprises));
  const { surprises, expected, chances } = texts[text].read[stage];
  const [loss, surprise] = [losses[stage], surprises[place - 1]];
  return {
    losses, loss, mean: stages[stage].mean,
    increment: (loss - stages[stage].mean) / (stages[stage].k + 1),
    surprises, surprise, chance: Math.exp(-surprise),
    expected: expected[place - 1], chances: chances[place - 1],
  };
}

const percent = (chance) => (100 * chance < 1 ? "under 1 %" : `${fixed(100 * chance, 0)} %`);
const capital = (words) => words[0].toUpperCase() + words.slice(1);

/** The present state in words. */
export function sentence({ text, stage, place, data: { stages, texts } }, found) {
  const { k, when } = stages[stage];
  const guesses = letters(found.expected).map((sign, i) => `${named(sign)} (${percent(found.chances[i])})`);
  const came = letters(texts[text].signs)[place];
  const [loss, before] = [fixed(found.loss, 2), fixed(found.mean, 2)];
  return (
    `${when}, character ${place}: it expected ${guesses.join(", ")}. ` +
    `${capital(named(came))} came, to which it gave ${percent(found.chance)}: a ` +
    `surprise of ${fixed(found.surprise, 2)} nats. The mean over all ` +
    `${found.surprises.length} is the loss of this text, ${loss} nats. As the next ` +
    `sample it would change the mean loss by (${loss} - ${before}) / ` +
    `${k + 1} = ${scientific(found.increment, 1)} nats.`
  );
}

function controls({ data: { stages, ranges } }, set) {
  const [low, high] = ranges.stage;
  return [
    slider({
      name: "stage", label: "sequences read", meaning: "how far the training has come",
      low, high, step: 1, whole: true, text: (stage) => stages[stage].name,
    }, set),
  ];
}

function picture({ data }, set) {
  const [choice, text] = [choiceOf(data, set), textOf(data, set)];
  const panels = [expectedOf(data), lossesOf(data)];
  const below = sideBySide(...panels.map(({ parts }) => parts));
  return {
    node: html("div", {}, choice.node, text.node, below),
    draw: (state, found) => [choice, text, ...panels].forEach(({ draw }) => draw(state, found)),
  };
}

/** A radio button of a group, for a setting, that is a box with words in it. */
function box({ group, name, value, className }, set, ...words) {
  const input = html("input", { type: "radio", name: group, value: String(value) });
  input.addEventListener("change", () => set({ [name]: value }));
  return { input, node: html("label", { className }, input, ...words) };
}

/** The six texts, by how hard they are. */
function choiceOf({ texts }, set) {
  const group = ownName("text"); // of these radio buttons alone
  const all = texts.map((one, value) => {
    const loss = html("small", {});
    return { loss, ...box({ group, name: "text", value, className: "ln-text" }, set, html("span", {}, one.name), loss) };
  });
  return {
    node: html(
      "fieldset",
      { className: "ln-fieldset" },
      html("legend", {}, "Which unread text comes next?"),
      html("div", { className: "ln-texts" }, ...all.map(({ node }) => node)),
    ),
    draw({ text, stage }) {
      all.forEach(({ input, loss }, i) => {
        input.checked = i === text;
        loss.textContent = `loss ${fixed(lossOf(texts[i], stage), 2)}`;
      });
    },
  };
}

/** The text: characters as radio buttons; colour and bar of each tell its surprise. */
function textOf({ texts, ranges }, set) {
  const group = ownName("place"); // of these radio buttons alone
  const first = html("span", { className: "ln-sign ln-given", "aria-hidden": "true" });
  const boxes = Array.from({ length: ranges.place[1] }, (_, i) => {
    const [sign, bar] = [html("span", { "aria-hidden": "true" }), html("i", { "aria-hidden": "true" })];
    return { sign, bar, ...box({ group, name: "place", value: i + 1, className: "ln-sign" }, set, sign, bar) };
  });
  return {
    node: html(
      "fieldset",
      { className: "ln-fieldset" },
      html("legend", {}, "Its characters: colour and bar tell the surprise. Choose one"),
      html("div", { className: "ln-signs" }, first, ...boxes.map(({ node }) => node)),
    ),
    draw({ text, place }, { surprises }) {
      const signs = letters(texts[text].signs);
      const top = Math.max(...texts[text].read.flatMap((read) => read.surprises));
      first.textContent = SIGNS[signs[0]] ?? signs[0];
      boxes.forEach(({ input, node, sign, bar }, i) => {
        const [its, share] = [signs[i + 1], surprises[i] / top];
        const words = `${i + 1}, ${named(its)}: surprise ${fixed(surprises[i], 2)} nats`;
        input.checked = i + 1 === place;
        input.setAttribute("aria-label", words);
        node.title = words;
        sign.textContent = SIGNS[its] ?? its;
        node.style.setProperty("--ln-share", `${fixed(DEEPEST * share, 1)}%`);
        bar.style.height = `${fixed(TALLEST * share, 1)}px`;
      });
    },
  };
}

/** The three characters that were expected most, and the one that came. */
function expectedOf({ texts }) {
  const rows = [...texts[0].read[0].chances[0].map((_, i) => `${i + 1}.`), "came"];
  const at = rows.map((_, i) => rows.length - i);
  const plot = axes({
    title: "What it expected there", margin: { left: 118, right: 14, top: 32, bottom: 52 }, height: 250,
    x: { range: [0, 1.25], ticks: [0, 0.5, 1], label: "probability" },
    y: { range: [0.4, rows.length + 0.6], ticks: at.map((v) => [v, ""]) }, // names change
  });
  const bars = rows.map((name, i) =>
    plot.shape(name, "rect", {
      x: plot.x(0), y: plot.y(at[i] + 0.3), height: plot.y(at[i] - 0.3) - plot.y(at[i] + 0.3),
      fill: `var(--ln-${name === "came" ? "vermillion" : "blue"})`,
    }),
  );
  const names = rows.map((name) => plot.words(`${name}-sign`, { anchor: "end", dx: -8, dy: 5 }));
  const shares = rows.map((name) => plot.words(`${name}-share`, { anchor: "start", dx: 6, dy: 5 }));
  return {
    parts: [plot.node],
    draw({ text, place }, { expected, chances, chance }) {
      const signs = [...letters(expected).map(named), `came: ${named(letters(texts[text].signs)[place])}`];
      [...chances, chance].forEach((p, i) => {
        bars[i].set({ width: plot.x(p) - plot.x(0) });
        names[i].set(0, at[i], signs[i]);
        shares[i].set(p, at[i], percent(p));
      });
    },
  };
}

/** The text's loss along training, and the mean of what had been read. */
function lossesOf({ stages, texts }) {
  const count = stages.map((_, i) => i);
  const means = stages.map((one) => one.mean);
  const highest = Math.max(...means, ...texts.flatMap((one) => count.map((stage) => lossOf(one, stage))));
  const plot = axes({
    title: "Loss along training", height: 250,
    x: { range: [-0.3, count.length - 0.7], ticks: stages.map(({ name }, i) => [i, name]), label: "sequences read" },
    y: { range: [0, 1.08 * highest], label: "nats per character" },
  });
  const here = plot.line("stage", { colour: "faint", width: 4 });
  const looks = [
    { name: "loss", label: "this text", colour: "vermillion", dash: "--", marker: "D" },
    { name: "mean", label: "mean of what it has read", dash: "-", marker: "o" },
  ];
  const [loss, before] = looks.map((look) => plot.line(look.name, look));
  before.set(count, means);
  return {
    parts: [plot.node, legend(looks)],
    draw({ stage }, { losses }) {
      here.set([stage, stage], [0, 1.08 * highest]);
      loss.set(count, losses);
    },
  };
}

const purpose = () => "Six texts to choose from, their characters, and a slider for the training so far.";

export default explorable({
  traits: ["text", "stage", "place", "data"], purpose, controls, numbers, sentence, picture,
});
