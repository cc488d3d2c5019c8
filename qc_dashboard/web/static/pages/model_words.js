// Words that both pages of models share.
import { clockTime, element, span } from "./elements.js";
import { percent } from "./figures.js";

const NOW_MS = 15_000;
const ACTIONS = { retrain: "retrained", promote: "promoted", threshold: "threshold moved", rollback: "rolled back" };

export function actionWords(action) {
  return ACTIONS[action] ?? "not known";
}

export function promised(rate) {
  return rate === null || rate === undefined ? "" : `Promised: at most ${percent(rate)} of good parts rejected.`;
}

export function sinceWords({ live, judges_after_s }) {
  const released = `${actionWords(live.action)} ${clockTime(new Date(live.released_at))}`;
  if (judges_after_s === null) return `Since: ${released}. No frame was judged with it yet.`;
  return `Since: ${released}, first verdict after ${seconds(judges_after_s)}.`;
}

export function seconds(value) {
  return value < 100 ? `${value.toFixed(1)} s` : span(value * 1000);
}

// The versions at work: more than the live one while workers still load it.
export function judging(line) {
  const items = line.judging.map((one) => {
    const age = Date.now() - new Date(one.last_at).getTime();
    const when = age < NOW_MS ? "judges now" : `judged ${span(age)} ago`;
    const where = one.partitions.length ? `, ${one.partitions.length === 1 ? "partition" : "partitions"} ${one.partitions.join(", ")}` : "";
    const mark = one.is_live ? element("span", { class: "mark live" }, "● Live") : element("span", { class: "mark" }, "○ Not live");
    return element("li", {}, mark, " ", element("span", { class: "version" }, one.version), ` ${when}${where}, ${one.frames} frames in 15 min`);
  });
  if (!items.length) items.push(element("li", { class: "muted" }, "No version has judged a frame in the last 15 min."));
  return element("ul", { class: "judging", "aria-label": "Versions at work" }, ...items);
}

export function showTrouble(sentence) {
  const place = document.getElementById("troubles");
  if ((place.dataset.shown ?? "") === sentence) return;
  place.dataset.shown = sentence;
  place.replaceChildren(...(sentence ? [element("p", { class: "note bad within" }, sentence)] : []));
}

// Say why nothing could be read; a session that has ended leads to the sign-in.
export function showFailure(error) {
  if (error.status === 401) location.reload();
  else showTrouble(error instanceof TypeError ? "The dashboard does not answer. It tries again by itself." : error.message);
}
