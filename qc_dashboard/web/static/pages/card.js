// The card of one line.
import { Chart } from "./chart.js";
import { element, frameAddress, picture, span } from "./elements.js";
import { percent } from "./figures.js";
import { problemsOf, STATES } from "./problems.js";

const REJECTS = 3;
const REJECTS_MS = 3000; // nobody sees pictures that change faster, and each costs the server two requests
const SIGNS = { good: "✓", warn: "!", bad: "✕", off: "–", unknown: "?" };
const ORDER = ["bad", "warn", "unknown", "good", "off"];

export class Card {
  #rejects = [];
  #shown = new Map(); // items by address of the inspection
  #shownAt = -REJECTS_MS;

  constructor(line, { wall }) {
    this.wall = wall;
    const value = () => element("dd", { class: "figure" });
    this.parts = {
      state: element("p", { class: "state" }),
      problems: element("ul", { class: "problems" }),
      rate: value(),
      reject: element("dd", { class: "figure wall-figure" }),
      review: value(),
      notJudged: value(),
      promised: element("p", { class: "muted promised" }),
      model: element("dd"),
      lag: value(),
      late: value(),
      workers: value(),
      rejects: element("ul", { class: "rejects" }),
      chart: element("div", { class: "chart" }),
    };
    const heading = element("h2", {}, element("a", { href: `/history?line=${encodeURIComponent(line)}` }, `Line ${line}`));
    this.root = element("section", { class: "card line-card", "data-line": line }, ...this.#inside(heading));
    this.chart = wall ? null : new Chart(this.parts.chart);
  }

  #inside(heading) {
    const { parts } = this;
    const group = (name, value, of = "") => element("div", { class: of }, element("dt", {}, name), value);
    const figures = element(
      "dl",
      { class: "shares" },
      group("Rejects", parts.reject, "first"),
      group("To review", parts.review),
      group("Not judged", parts.notJudged),
      group("Frames/s", parts.rate),
    );
    const facts = element("dl", { class: "facts" }, group("Model", parts.model), group("Lag", parts.lag), group("Late", parts.late), group("Workers", parts.workers));
    const title = element("h3", { class: "chart-title" }, "Scores (sample), dashed: threshold");
    const last = element("h3", {}, "Last rejects");
    const charted = this.wall ? [] : [title, parts.chart];
    const head = element("div", { class: "card-head" }, heading, parts.state);
    return [head, parts.problems, figures, parts.promised, ...charted, facts, last, parts.rejects];
  }

  // Take samples of what came in.
  add(inspections) {
    this.chart?.add(inspections);
    const rejects = inspections.filter(({ verdict }) => verdict === "reject");
    if (rejects.length === 0) return;
    const key = ({ source }) => `${source.topic}:${source.partition}:${source.offset}`;
    const each = new Map([...this.#rejects, ...rejects].map((one) => [key(one), one]));
    const order = [...each.values()].sort((one, other) => new Date(other.taken_at) - new Date(one.taken_at));
    this.#rejects = order.slice(0, this.wall ? 1 : REJECTS);
  }

  show(figures, now, blind, workers) {
    const { parts } = this;
    const problems = problemsOf(figures, now, blind, workers);
    const level = problems[0]?.level ?? "good";
    this.root.dataset.level = level;
    // On the wall nobody scrolls: trouble comes first.
    if (this.wall) this.root.style.order = ORDER.indexOf(level);
    text(parts.state, `${SIGNS[level]} ${STATES[level]}`);
    this.#showProblems(problems.filter(({ title }) => title));
    text(parts.rate, figures.frames_per_s.toFixed(figures.frames_per_s < 10 ? 1 : 0));
    text(parts.reject, percent(figures.reject));
    text(parts.review, percent(figures.review));
    text(parts.notJudged, percent(figures.notJudged));
    text(parts.promised, promise(figures));
    text(parts.model, figures.release ? figures.release.version : "none");
    text(parts.lag, figures.lag_s === null ? "–" : figures.lag_s < 10 ? `${figures.lag_s.toFixed(2)} s` : span(figures.lag_s * 1000));
    text(parts.late, String(figures.late));
    text(parts.workers, workers.alive === null ? "–" : String(workers.alive));
    this.chart?.draw(figures.release ? figures.release.threshold : (figures.last?.threshold ?? null));
    this.#showRejects();
  }

  #showProblems(problems) {
    const made = problems.map(({ level, title, hint }) =>
      element("li", { class: `note ${level}` }, element("strong", {}, title), hint ? ` ${hint}` : ""),
    );
    const before = [...this.parts.problems.children].map((each) => each.outerHTML).join();
    if (before !== made.map((each) => each.outerHTML).join()) this.parts.problems.replaceChildren(...made);
  }

  #showRejects() {
    const links = this.#rejects.map(({ links: { inspection } }) => inspection);
    const same = links.length === this.#shown.size && links.every((link) => this.#shown.has(link));
    if ((same && this.parts.rejects.childElementCount) || performance.now() - this.#shownAt < REJECTS_MS) return;
    if (links.length) this.#shownAt = performance.now();
    this.#shown = new Map(this.#rejects.map((one) => [one.links.inspection, this.#shown.get(one.links.inspection) ?? item(one)]));
    const items = [...this.#shown.values()];
    this.parts.rejects.replaceChildren(...(items.length ? items : [element("li", { class: "muted none" }, "None yet")]));
  }
}

function item(one) {
  const shown = element("span", { class: "caption" }, caption(one));
  return element("li", {}, element("a", { href: frameAddress(one.source) }, picture(one), shown));
}

function caption(one) {
  const time = new Date(one.taken_at).toLocaleTimeString([], { hour12: false });
  return `${time}\n${one.part ? `part ${one.part}` : (one.camera ?? "")}`;
}

function promise({ release, total }) {
  const promised = release?.max_false_reject;
  const of = `Of ${total} verdicts in 15 min.`;
  return promised === null || promised === undefined ? of : `${of} Promised: at most ${percent(promised)} of good parts rejected.`;
}

function text(place, content) {
  if (place.textContent !== content) place.textContent = content;
}
