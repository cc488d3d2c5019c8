// The live page: load the state, follow the stream, and say at once if either fails.
import { Card } from "./card.js";
import { clockTime, element } from "./elements.js";
import { Figures } from "./figures.js";
import { lostIn } from "./lost.js";
import { capital, figuresOf, troublesOf } from "./workers.js";

const REFRESH_MS = 5000;
const DRAW_MS = 1000;
const SOONEST_MS = 200;
const SEED = 120;
const FEW = 3;
const DASHBOARD = "The dashboard does not answer.";
const DATABASE = "The database does not answer.";
const TITLES = { broker: "Broker away.", database: "Database away.", dashboard: "The dashboard has a defect." };

const place = document.getElementById("lines");
const troubles = document.getElementById("troubles");
const workers = document.getElementById("workers");
const wall = place.hasAttribute("data-wall");
const figures = new Figures();
const cards = new Map();
let stream = null;
let away = null; // since when, and what does not answer
let loading = null;
let drawing = null;
let drawnAt = 0;

async function load() {
  try {
    const answer = await fetch("/api/v1/lines", { headers: { Accept: "application/json" } });
    if (answer.status === 401) return location.reload();
    if (answer.ok) {
      figures.take(await answer.json());
      away = null;
    } else miss(answer.status === 503 ? DATABASE : DASHBOARD);
  } catch {
    miss(DASHBOARD);
  }
  for (const { line } of figures.state?.lines ?? []) if (!cards.has(line)) open(line);
  if (!stream && figures.state) follow(figures.state.event_id);
  draw();
}

function miss(what) {
  away = { since: away?.since ?? new Date(), what };
}

// Several reasons to load may come together: one request at a time.
function refresh() {
  loading ??= load().finally(() => (loading = null));
}

function open(line) {
  const card = new Card(line, { wall });
  cards.set(line, card);
  const later = [...cards.keys()].sort().find((name) => name > line);
  place.insertBefore(card.root, later === undefined ? null : (cards.get(later)?.root ?? null));
  seed(line, card, `limit=${SEED}`);
  seed(line, card, "limit=3&verdict=reject");
}

async function seed(line, card, query) {
  try {
    const answer = await fetch(`/api/v1/inspections?line=${encodeURIComponent(line)}&${query}`);
    if (answer.ok) card.add((await answer.json()).inspections);
  } catch {
    // the chart then begins with what the stream brings
  }
}

function follow(after) {
  stream = new EventSource(`/api/v1/stream${after ? `?after=${encodeURIComponent(after)}` : ""}`);
  stream.addEventListener("inspections", (event) => {
    const { lines } = JSON.parse(event.data);
    for (const { line, sample } of lines) cards.get(line)?.add(sample);
    if (figures.add(event.lastEventId, lines).length > 0) refresh();
    drawing ??= setTimeout(draw, Math.max(0, drawnAt + SOONEST_MS - performance.now()));
  });
  stream.addEventListener("reload", refresh);
  stream.addEventListener("start", () => (away = null));
  stream.addEventListener("error", () => {
    away ??= { since: new Date(), what: DASHBOARD };
    // A refused stream is not tried again by the browser: the next refresh opens a new one.
    if (stream.readyState === EventSource.CLOSED) stream = null;
  });
}

function draw() {
  clearTimeout(drawing);
  drawing = null;
  drawnAt = performance.now();
  const { state } = figures;
  showTroubles(state);
  if (!state) return;
  const blind = away !== null || state.waiting.some((one) => one.hides_verdicts);
  const team = blind ? { ...state.workers, alive: null } : state.workers;
  for (const line of state.lines) cards.get(line.line)?.show(figures.of(line), figures.now(), blind, team);
  const shown = figuresOf(team);
  if (workers.textContent !== shown) workers.textContent = shown;
  place.toggleAttribute("data-many", cards.size > FEW);
  place.removeAttribute("aria-busy");
}

function showTroubles(state) {
  const found = [];
  if (away) found.push(["bad", away.what, `What you see is from ${clockTime(away.since)}. It tries again by itself.`]);
  for (const { topic, since, reason, away: part, hides_verdicts: hides } of state?.waiting ?? []) {
    const unread = `${topic} cannot be read since ${clockTime(new Date(since))}: ${reason}.`;
    found.push(hides ? ["bad", TITLES[part], `${unread} What you see is old.`] : ["warn", `${capital(topic)} not read.`, unread]);
  }
  if (state && !away) for (const { level, title, rest } of [...troublesOf(state), ...lostIn(state)]) found.push([level, title, rest]);
  const wanted = found.map((each) => each.join(" ")).join("\n");
  if (troubles.dataset.shown === wanted) return;
  troubles.dataset.shown = wanted;
  const notes = found.map(([level, title, rest]) =>
    element("p", { class: `note ${level} within` }, element("strong", {}, title), ` ${rest}`),
  );
  troubles.replaceChildren(...notes);
}

document.addEventListener("keydown", (event) => {
  if (wall && event.key === "Escape") location.assign("/");
});
addEventListener("pagehide", () => stream?.close());
addEventListener("pageshow", (event) => event.persisted && location.reload());
setInterval(refresh, REFRESH_MS);
setInterval(draw, DRAW_MS);
refresh();
