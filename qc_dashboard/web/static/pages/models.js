// All lines: what is live, and what judges now.
import { element } from "./elements.js";
import { judging, promised, showTrouble, sinceWords } from "./model_words.js";

const REFRESH_MS = 5000;
const place = document.getElementById("lines");

async function load() {
  try {
    const answer = await fetch("/api/v1/models", { headers: { Accept: "application/json" } });
    if (answer.status === 401) return location.reload();
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.detail);
    showTrouble("");
    show(body.lines);
  } catch (error) {
    showTrouble(error instanceof TypeError ? "The dashboard does not answer. It tries again by itself." : error.message);
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
