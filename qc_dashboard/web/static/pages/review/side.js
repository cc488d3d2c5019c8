// What stands beside the frame: the last judgements of this page, and who has judged how much today.
import { clockTime, element, frameAddress } from "../elements.js";
import { ask, BASE } from "./requests.js";

const WORDS = 8;
const EVERY_MS = 2000;
const PEOPLE_MS = 3000;
const RESTING = 5; // looks that are left out while nobody judges at this page
const NAMES = { good: "Good", defect: "Defect", unsure: "Unsure" };

export class Side {
  #session;
  #words = document.getElementById("words");
  #people = document.getElementById("people");
  #gone = document.getElementById("gone");
  #outcomes = document.querySelector("[data-outcomes]");
  #waiting = false;
  #rested = RESTING;
  #report;

  // `report(count)`: words that wait for the broker since the look before.
  constructor(session, report) {
    this.#session = session;
    this.#report = report;
    setInterval(() => this.#waiting && this.lookAtWords(), EVERY_MS);
    setInterval(() => ++this.#rested >= RESTING && this.lookAtPeople(), PEOPLE_MS);
    this.lookAtWords();
    this.lookAtPeople();
  }

  // Somebody has judged here: look at all.
  judged() {
    this.#rested = RESTING;
    this.#outcomes.dispatchEvent(new Event("qc:judged"));
    this.lookAtWords();
  }

  async lookAtWords() {
    const answer = await quietly(`${BASE}/words?session=${this.#session}&count=${WORDS}`);
    if (!answer) return;
    // A word is on its way for a moment; at the second look it waits.
    this.#report(this.#waiting ? answer.unsent : 0);
    this.#waiting = answer.unsent > 0;
    const rows = answer.words.map((word) => shownWord(word));
    this.#words.replaceChildren(...(rows.length ? rows : [element("li", { class: "muted" }, "None yet on this page.")]));
  }

  async lookAtPeople() {
    this.#rested = 0;
    const midnight = new Date();
    midnight.setHours(0, 0, 0, 0);
    const answer = await quietly(`${BASE}/statistics?since=${midnight.toISOString()}`);
    if (!answer) return;
    const rows = answer.people.map(({ person, good, defect, unsure, undone }) =>
      element("tr", {}, element("th", { scope: "row" }, person), ...[good, defect, unsure, undone].map(cell)),
    );
    this.#people.replaceChildren(...rows);
    this.#people.closest("[data-people]").hidden = rows.length === 0;
    this.#gone.textContent =
      answer.gone > 0 ? `${answer.gone} frames left the queue today: their pictures were gone before they were judged.` : "";
  }
}

async function quietly(path) {
  try {
    return await ask("GET", path);
  } catch {
    return null; // the claims say what is wrong; the next look shows the rest
  }
}

function shownWord({ source, line, verdict, kind, accepted_at, accepted_by, sent, undone }) {
  const state = undone ? "taken back" : sent ? "sent" : "waits for the broker";
  const what = kind ? `${NAMES[verdict]}: ${kind}` : NAMES[verdict];
  return element(
    "li",
    { "data-word": `${source.topic}:${source.partition}:${source.offset}`, class: undone ? "undone" : null },
    element("strong", {}, what),
    ", ",
    element("a", { href: frameAddress(source), target: "_blank", rel: "noopener" }, `line ${line}, ${source.offset}`),
    element("span", { class: "muted" }, ` ${clockTime(new Date(accepted_at))}, ${accepted_by}, ${state}`),
  );
}

function cell(number) {
  return element("td", { class: "figure" }, String(number));
}
