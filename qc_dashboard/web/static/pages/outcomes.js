// Fill <div data-outcomes="ADDRESS"> with judgements and what became of each. ADDRESS is that of one inspection, or of
// /api/v1/feedback?by=me. data-nobody: the sentence if there is none; data-frames: with links to the frames' pages.
import { clockTime, element, frameAddress, span } from "./elements.js";
import { fetched } from "./fetched.js";

const OFTEN_MS = 2000;
const SELDOM_MS = 15_000;
const FRESH_MS = 120_000;
const WORDS = { good: "Good", defect: "Defect", unsure: "Unsure" };
const REFUSALS = {
  expired: "the frame had left the topic before it was collected",
  mismatched: "the record is not the frame that was judged",
  undecodable: "the frame is not a readable picture",
};

function time(text) {
  return clockTime(new Date(text));
}

// One step: done, awaited or stopped; colour, sign and word.
function step(state, name, fact) {
  const sign = { done: "✓", next: "○", stop: "✕" }[state];
  const said = { done: "done", next: "to come", stop: "stopped" }[state];
  return element(
    "li",
    { class: `step ${state}` },
    element("span", { class: "sign", "aria-hidden": "true" }, sign),
    element("span", {}, element("strong", {}, name), element("span", { class: "only-read-aloud" }, `, ${said}`), fact ? ` ${fact}` : ""),
  );
}

function steps(one) {
  const outcome = one.outcome;
  const sent = outcome.stage === "waiting" ? step("next", "Sent", "when the broker answers; it is kept here") : step("done", "Sent", time(one.accepted_at));
  if (outcome.stage === "refused") return [sent, step("stop", "Not usable", REFUSALS[outcome.collection] || "")];
  const found = [sent, collected(one)];
  if (one.verdict === "good" && (outcome.version || !replaced(outcome))) found.push(...learned(outcome));
  if (replaced(outcome)) {
    const who = outcome.replaced_by ? `by ${outcome.replaced_by}, ${time(outcome.replaced_at)}` : "by a later word";
    found.push(step("stop", "Replaced", who));
  }
  return found;
}

function replaced(outcome) {
  return outcome.stage === "replaced";
}

function collected(one) {
  const outcome = one.outcome;
  const name = { good: "Sample", defect: "Test sample", unsure: "Held back" }[one.verdict] || "Sample";
  if (!outcome.collected_at) return step(replaced(outcome) ? "stop" : "next", name, replaced(outcome) ? "" : "when the trainer collects it");
  return step("done", name, time(outcome.collected_at));
}

function learned(outcome) {
  if (!outcome.version) {
    const unread = outcome.unread_version;
    const fact = unread ? `perhaps ${unread}: its model card cannot be read` : "with the next retrain";
    return [step("next", "Version trained", fact), step("next", "Live")];
  }
  const trained = step("done", "Version trained", `${outcome.version}, ${time(outcome.trained_at)}`);
  if (!outcome.live_at) return [trained, step("next", "Live", `announced ${time(outcome.released_at)}, no frame judged yet`)];
  return [trained, step("done", "Live", time(outcome.live_at))];
}

function remark(one) {
  const outcome = one.outcome;
  if (outcome.seconds_to_live !== null) {
    const took = `${span(outcome.seconds_to_live * 1000)} from “good” to a live version that learned from it`;
    return `${took}.${outcome.in_live_version === false ? " The version that is live now did not." : ""}`;
  }
  if (one.verdict !== "good" && outcome.in_live_version) return "The live version was still trained on it as a good one.";
  return "";
}

function judgement(one, frames) {
  const kind = one.kind ? `: ${one.kind}` : "";
  const head = element("p", { class: "said" }, element("strong", {}, `${WORDS[one.verdict] || one.verdict}${kind}`), `, ${one.accepted_by}, ${time(one.accepted_at)}`);
  if (frames) head.append(", ", element("a", { href: frameAddress(one.source) }, `frame ${one.frame_id}`));
  const note = remark(one);
  return element("li", { class: "judgement", "data-stage": one.outcome.stage }, head, element("ol", { class: "steps" }, ...steps(one)), note ? element("p", { class: "took" }, note) : null);
}

// Judgements whose outcome may still change are looked at again: often at first, then seldom.
function isOpen(one) {
  return ["waiting", "sent", "sample", "trained"].includes(one.outcome.stage) && !(one.outcome.stage === "sample" && one.verdict !== "good");
}

function isFresh(one) {
  return Date.now() - new Date(one.accepted_at) < FRESH_MS;
}

class Outcomes {
  constructor(place) {
    this.place = place;
    this.shown = "";
    this.awaited = null;
    place.addEventListener("qc:judged", () => this.expect());
    document.addEventListener("visibilitychange", () => !document.hidden && this.look());
    this.look();
  }

  // A judgement was just sent: it is in the history in a moment.
  expect() {
    this.awaited = Date.now() + FRESH_MS;
    this.look();
  }

  async look() {
    clearTimeout(this.timer);
    let pause = SELDOM_MS;
    if (!document.hidden) {
      try {
        pause = this.show(await this.told());
      } catch {
        pause = SELDOM_MS; // the page that holds this says if the server is away
      }
    }
    this.timer = setTimeout(() => this.look(), pause);
  }

  async told() {
    const found = (await fetched(this.place.dataset.outcomes)).feedback;
    return this.place.dataset.outcomes.includes("/feedback") ? found : found.reverse();
  }

  show(found) {
    const text = JSON.stringify(found);
    if (text !== this.shown) {
      this.shown = text;
      this.awaited = null;
      const list = element("ol", { class: "judgements" }, ...found.map((one) => judgement(one, "frames" in this.place.dataset)));
      this.place.replaceChildren(found.length ? list : element("p", { class: "muted" }, this.place.dataset.nobody || "No judgements."));
    }
    const often = found.some((one) => isOpen(one) && isFresh(one)) || (this.awaited && Date.now() < this.awaited);
    return often ? OFTEN_MS : SELDOM_MS;
  }
}

for (const place of document.querySelectorAll("[data-outcomes]")) new Outcomes(place);
