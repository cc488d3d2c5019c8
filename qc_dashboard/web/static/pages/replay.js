// Judge the frame again, aside, and show the second judgement beside the first one.
import { element } from "./elements.js";
import { fetched } from "./fetched.js";

const LOOK_MS = 1500;
const WAITING = { waiting: "Waits for another frame that is judged again …", running: "Is judged again; the first time takes half a minute …" };
const place = document.querySelector("[data-replay]");
const table = document.getElementById("replays");
const status = document.getElementById("replay-status");
const buttons = [...place.querySelectorAll("[data-judge-again]")];

function figure(value) {
  return typeof value === "number" ? String(Number(value.toPrecision(3))) : value ?? "–";
}

function comparison(one) {
  if (one.state === "failed") return `Not judged: ${one.failure}`;
  if (one.same === null) return "Another version: not compared";
  const apart = one.score_difference === null ? "" : `, scores ${figure(one.score_difference)} apart, ${figure(one.tolerance)} allowed`;
  return `${one.same ? "Same" : "Different"}${apart}${one.other_format ? `; ${one.other_format}` : ""}`;
}

function row(one) {
  const again = one.replayed;
  const cells = again ? [qc.verdict(again.verdict), figure(again.score), figure(again.threshold), again.model_version ?? "–"] : ["–", "–", "–", one.version ?? "–"];
  return element("tr", {}, element("th", { scope: "row" }, `Again, by ${one.asked_by}`), ...cells.map((cell) => element("td", {}, cell)), element("td", {}, comparison(one)));
}

function show(replays) {
  const ended = replays.filter((one) => one.state === "done" || one.state === "failed");
  const open = replays.find((one) => one.state in WAITING);
  table.querySelector("tbody.again").replaceChildren(...ended.map(row));
  table.closest(".table-frame").hidden = ended.length === 0;
  const newest = ended[0] ? comparison(ended[0]) : "";
  const text = open ? WAITING[open.state] : newest;
  if (status.textContent !== text) status.textContent = text;
  for (const button of buttons) button.disabled = Boolean(open);
  if (open) setTimeout(look, LOOK_MS);
}

async function look() {
  try {
    show((await fetched(place.dataset.replay)).replays);
  } catch {
    setTimeout(look, LOOK_MS * 4);
  }
}

for (const button of buttons) {
  button.addEventListener("click", async () => {
    try {
      await qc.send("POST", place.dataset.replay, { version: button.dataset.judgeAgain || null });
      look();
    } catch (error) {
      status.textContent = `Not judged: ${error.message}`;
    }
  });
}
look();
