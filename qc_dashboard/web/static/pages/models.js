// All lines: what is live, and what judges now.
import { element } from "./elements.js";
import { fetched } from "./fetched.js";
import { judging, promised, showFailure, showTrouble, sinceWords } from "./model_words.js";

const REFRESH_MS = 5000;
const place = document.getElementById("lines");

async function load() {
  try {
    const { lines } = await fetched("/api/v1/models");
    showTrouble("");
    show(lines);
  } catch (error) {
    showFailure(error);
  }
}

function show(lines) {
  const focused = document.activeElement?.closest("[data-line]")?.dataset.line;
  const cards = lines.map(card);
  place.replaceChildren(...(cards.length ? cards : [element("p", { class: "card" }, "No line has a model yet.")]));
  place.removeAttribute("aria-busy");
  if (focused !== undefined) cards.find((each) => each.dataset.line === focused)?.querySelector("a").focus();
}

function card(line) {
  const { live } = line;
  const link = element("a", { href: `/models/${encodeURIComponent(line.line)}` }, `Line ${line.line}`);
  const facts = live
    ? [
        element("p", {}, element("span", { class: "mark live" }, "● Live"), " ", element("span", { class: "version" }, live.version)),
        element("p", {}, `Threshold ${live.threshold.toPrecision(3)}. ${promised(live.max_false_reject)}`),
        element("p", { class: "muted" }, sinceWords(line)),
      ]
    : [element("p", {}, element("span", { class: "mark bad" }, "✕ No model"), " None was announced.")];
  return element("section", { class: "card", "data-line": line.line }, element("h2", {}, link), ...facts, judging(line));
}

load();
setInterval(load, REFRESH_MS);
