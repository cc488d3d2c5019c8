// What is wrong with a line, worst first, in words that say what to do.
import { percent } from "./figures.js";
import { clockTime, span } from "./elements.js";
import { backlog } from "./workers.js";

const SILENT_MS = 30_000;
const STOPPED_MS = 12 * 3_600_000;
const SLOW_S = 5;
const ENOUGH = 100;
const MANY_NOT_JUDGED = 0.01;

// `blind`: nothing can be said about now, as broker or dashboard are away.
export function problemsOf(figures, now, blind, workers) {
  if (blind) return [problem("unknown", "", "")];
  const silent = now - figures.heardAt;
  const since = clockTime(new Date(figures.heardAt), new Date(now));
  if (silent > STOPPED_MS) return [problem("off", `Stopped since ${since}`, "")];
  const found = [];
  if (silent > SILENT_MS) {
    const missing = workers.alive === 0 || workers.oldest_waits_s > 0 ? "verdicts" : "frames";
    found.push(problem("bad", `No ${missing} for ${span(silent)}`, whySilent(workers)));
  }
  if (figures.counts.no_model > 0) {
    const hint = figures.release
      ? "A worker still loads it, or cannot: look at its log."
      : "Nothing was released for this line: an engineer trains it with qc-trainer retrain.";
    found.push(problem("bad", "No model", `${many(figures.counts.no_model, "frame")} not judged. ${hint}`));
  }
  if (figures.counts.error > 0) {
    const level = figures.counts.error / figures.total > MANY_NOT_JUDGED ? "bad" : "warn";
    found.push(problem(level, `${many(figures.counts.error, "frame")} not readable`, "Treat these parts as not inspected."));
  }
  if (figures.late > 0) {
    found.push(problem("warn", many(figures.late, "late verdict"), "They came after the part had gone on: sort these parts by hand. Workers are too slow or too few."));
  }
  if (silent <= SILENT_MS && figures.lag_s > SLOW_S) {
    const hint = "Workers fall behind: too few of them, or one is gone. Start one more.";
    found.push(problem("warn", `Verdicts are ${span(figures.lag_s * 1000)} behind`, hint));
  }
  const promised = figures.release?.max_false_reject;
  if (promised && figures.total >= ENOUGH && figures.reject > 2 * promised) {
    const hint = `${percent(figures.reject)}, promised were ${percent(promised)} for good parts. Real defects, or camera or light changed.`;
    found.push(problem("warn", "More rejects than promised", hint));
  }
  const rank = { bad: 0, warn: 1 };
  return found.sort((one, other) => rank[one.level] - rank[other.level]);
}

function whySilent({ alive, waiting_frames: frames, oldest_waits_s: oldest }) {
  const end = "Parts are not inspected.";
  if (alive === null) return `The camera sends nothing, or no worker judges. ${end}`;
  if (alive === 0) return `No worker runs. ${end} Start one: qc-worker run.`;
  if (oldest > 0) return `Workers have not judged all: ${backlog({ waiting_frames: frames, oldest_waits_s: oldest })} ${end} Look at their logs.`;
  return `Its cameras send nothing. ${end} Look at camera, trigger and network.`;
}

function many(count, what) {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function problem(level, title, hint) {
  return { level, title, hint };
}

export const STATES = { bad: "Needs help", warn: "Look", off: "Stopped", unknown: "Not known", good: "Running" };
