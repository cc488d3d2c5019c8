// One line: what is live, its versions, thresholds to compare, and making a version live.
import { element } from "./elements.js";
import { fetched } from "./fetched.js";
import { judging, promised, seconds, showFailure, showTrouble, sinceWords } from "./model_words.js";
import { openDialog } from "./release_dialog.js";
import { showThresholds } from "./thresholds.js";
import { showVersions } from "./versions_table.js";

const REFRESH_MS = 10_000;
const FOLLOW_MS = 500;
const FOLLOW_FOR_MS = 120_000;
const root = document.getElementById("models");
const { line } = root.dataset;
const mayRelease = root.hasAttribute("data-may-release");
const address = `/api/v1/models/${encodeURIComponent(line)}`;
const followed = document.getElementById("followed");
let known = null;
let shown = "";

async function load() {
  try {
    known = await fetched(address);
    showTrouble("");
    showNow(known.models);
    show();
  } catch (error) {
    showFailure(error);
    await showHistory();
  }
  root.removeAttribute("aria-busy");
}

// Without the store the history still knows what is live and what judges.
async function showHistory() {
  try {
    const found = (await fetched("/api/v1/models")).lines.find((each) => each.line === line);
    if (found) showNow(found);
  } catch {
    // the sentence above says it already
  }
}

function showNow(models) {
  const { live } = models;
  const facts = live
    ? [
        element("p", {}, element("span", { class: "mark live" }, "● Live"), " ", element("span", { class: "version" }, live.version)),
        element("p", {}, `Threshold ${live.threshold.toPrecision(4)}. ${promised(live.max_false_reject)}`),
        element("p", { class: "muted" }, sinceWords(models)),
      ]
    : [element("p", {}, element("span", { class: "mark bad" }, "✕ No model"), " None was announced on this line.")];
  document.getElementById("now").replaceChildren(...facts, judging(models));
}

function show() {
  const now = JSON.stringify([known.live, known.rolls_back_to, known.versions, known.left_out]);
  if (now === shown) return;
  shown = now;
  const actions = { whatIf: choose, promote: mayRelease ? (version) => release("promote", version) : null };
  showVersions(document.getElementById("versions"), line, known, actions);
  const more = document.getElementById("left-out");
  more.hidden = known.left_out === 0;
  more.textContent = `${known.left_out} older versions are not shown: qc-trainer versions --line ${line}`;
  const back = document.getElementById("roll-back");
  if (back) back.hidden = known.rolls_back_to === null;
  offer();
}

function offer() {
  const select = document.getElementById("what-if");
  const before = select.value;
  const names = known.versions.filter(({ card }) => card).map(({ version }) => version);
  select.replaceChildren(...names.map((name) => element("option", { value: name }, name === known.live ? `${name} (live)` : name)));
  const wanted = names.includes(before) ? before : names.includes(known.live) ? known.live : names[0];
  if (wanted !== undefined) select.value = wanted;
  if (wanted !== undefined && wanted !== before) compare();
}

function choose(version) {
  const select = document.getElementById("what-if");
  select.value = version;
  compare();
  document.getElementById("thresholds-title").scrollIntoView();
  select.focus();
}

async function compare() {
  const { value } = document.getElementById("what-if");
  try {
    const table = await fetched(`${address}/${encodeURIComponent(value)}/thresholds`);
    if (value === document.getElementById("what-if").value) showThresholds(table);
  } catch (error) {
    document.getElementById("counted").textContent = `Thresholds cannot be compared: ${error.message}`;
  }
}

function release(how, version) {
  openDialog({ how, line, version, live: known.live, send: (body) => qc.send("POST", `${address}/${how}`, body), done: follow });
}

// Say when workers judge with it.
async function follow(released) {
  const until = Date.now() + FOLLOW_FOR_MS;
  const say = (text) => {
    followed.hidden = false;
    followed.textContent = text;
  };
  say(`Version ${released.version} is announced. Waiting for the first verdict with it.`);
  load();
  while (Date.now() < until) {
    try {
      const found = (await fetched("/api/v1/models")).lines.find((each) => each.line === line);
      if (found?.live?.version === released.version && found.judges_after_s !== null) {
        say(`Version ${released.version}: live after ${seconds(found.judges_after_s)}.`);
        return load();
      }
    } catch {
      // asked again
    }
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
  }
  say(`Version ${released.version} is announced, but no frame was judged with it in ${FOLLOW_FOR_MS / 60_000} min: do frames come, do workers run?`);
}

document.getElementById("what-if").addEventListener("change", compare);
document.getElementById("roll-back")?.addEventListener("click", () => release("rollback", known.rolls_back_to));
load();
setInterval(load, REFRESH_MS);
