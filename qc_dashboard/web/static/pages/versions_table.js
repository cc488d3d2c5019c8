// The table of a line's versions; a version's card folds out.
import { element } from "./elements.js";
import { percent } from "./figures.js";
import { actionWords } from "./model_words.js";

const HEADS = ["Version", "State", "Threshold", "Promised", "Samples", "Made"];

export function showVersions(place, line, known, actions) {
  const head = element("tr", {}, ...HEADS.map((name) => element("th", { scope: "col" }, name)), element("th", { scope: "col" }, "Actions"));
  const rows = known.versions.flatMap((one) => [row(one, actions), details(line, one)]);
  const none = element("tr", {}, element("td", { colspan: HEADS.length + 1 }, `The model store has no version: qc-trainer retrain --line ${line}`));
  place.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...(rows.length ? rows : [none]))));
}

function row(one, actions) {
  const { card } = one;
  const text = (value, kind = "") => element("td", { class: kind }, value);
  const buttons = element("td", { class: "actions-cell" });
  const button = (label, action) => {
    const made = element("button", { class: "button", type: "button", "aria-label": `${label} ${one.version}` }, label);
    made.addEventListener("click", () => action(one.version));
    buttons.append(made);
  };
  if (card) button("What if", actions.whatIf);
  if (card && actions.promote && !one.is_live) button("Promote", actions.promote);
  return element(
    "tr",
    { class: one.is_live ? "live" : "", "data-version": one.version },
    element("th", { scope: "row", class: "version" }, one.version),
    element("td", {}, state(one)),
    text(card ? card.threshold.toPrecision(4) : "–", "figure"),
    text(card ? `≤ ${percent(card.max_false_reject)}` : "–", "figure"),
    text(card ? String(card.samples) : "–", "figure"),
    text(card ? made(card) : "–"),
    buttons,
  );
}

function state(one) {
  if (one.problem) return element("span", { class: "mark bad" }, "✕ Broken");
  if (one.is_live) return element("span", { class: "mark live" }, "● Live");
  return element("span", { class: "mark" }, one.released_at ? "○ Was live" : "– Never live");
}

function made(card) {
  const time = new Date(card.created_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  return card.derived_from ? `${time}, threshold moved` : time;
}

function details(line, one) {
  const { card } = one;
  const report = `qc-trainer evaluate --line ${line} --version ${one.version} --dataset FOLDER --report report.html`;
  const inside = card ? [list(one), element("p", { class: "hint" }, "Evaluation report: ", element("code", { class: "line" }, report))] : [element("p", {}, one.problem)];
  const folded = element("details", {}, element("summary", {}, `Card of ${one.version}`), ...inside);
  return element("tr", {}, element("td", { colspan: HEADS.length + 1 }, folded));
}

function list(one) {
  const { card } = one;
  const [low, high] = card.false_reject_interval;
  const facts = {
    "False rejects, 95 %": `${percent(low)} to ${percent(high)}`,
    "Smallest promise": percent(card.smallest_max_false_reject),
    "To review": card.review_rate === null ? "nothing" : `scores above ${card.review_threshold.toPrecision(4)} (${percent(card.review_rate)} of good frames or less)`,
    "Good frames": `${card.samples}: ${card.training_samples} fit the head, ${card.calibration_samples} calibrate it (${card.calibrate_by})`,
    Groups: card.groups ? String(card.groups) : "none",
    Backbone: card.backbone,
    "Input size": `${card.input_size[1]} × ${card.input_size[0]} pixels${card.tiles > 1 ? `, ${card.tiles} tiles` : ""}, ${card.bit_depth} bits`,
    Head: card.head_of ? `that of ${card.head_of}` : "its own",
    Training: `${card.duration_s.toFixed(1)} s`,
    "Made live": one.released_at ? `${actionWords(one.action)}, ${new Date(one.released_at).toLocaleString()}` : "never",
    ...Object.fromEntries(Object.entries(one.figures).map(([name, value]) => [name.replaceAll("_", " "), String(Number(value.toPrecision(4)))])),
  };
  const groups = Object.entries(facts).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  return element("dl", { class: "version-card" }, ...groups);
}
