// The workers of all lines, and what waits for them: as figures, and as sentences if something is wrong.
import { span } from "./elements.js";

const BEHIND_S = 5;

export function troublesOf({ workers, waiting }) {
  const { alive, usual, arriving_per_s: arriving, waiting_frames: frames, reason } = workers;
  // A broker that is away is said already.
  if (alive === null) return waiting.length ? [] : [trouble("warn", "Workers are not known.", `${capital(reason)}.`)];
  if (alive === 0 && !arriving && !frames) {
    return [trouble("warn", "No worker runs.", "Frames that come now will wait. Start one: qc-worker run.")];
  }
  if (alive === 0) {
    const rest = `${backlog(workers)} Parts are not inspected. Start one: qc-worker run.`;
    return [trouble("bad", "No worker runs.", rest)];
  }
  const found = [];
  if (workers.oldest_waits_s > BEHIND_S) {
    const rest = `${backlog(workers)} Too few workers, or one hangs: look at their logs, or start one more.`;
    found.push(trouble("bad", "Workers fall behind.", rest));
  }
  if (usual !== null && alive < usual && arriving) {
    const gone = usual - alive === 1 ? "One worker is gone." : `${usual - alive} workers are gone.`;
    found.push(trouble("warn", gone, `${alive} of ${usual} work on and take its frames. Look why it ended, and start it again.`));
  }
  return found;
}

export function backlog({ waiting_frames: frames, oldest_waits_s: oldest }) {
  const since = oldest ? `, the oldest for ${span(oldest * 1000)}` : "";
  return `${frames} ${frames === 1 ? "frame waits" : "frames wait"}${since}.`;
}

export function figuresOf({ alive, waiting_frames: frames, arriving_per_s: arriving }) {
  if (alive === null) return "Workers: not known";
  const coming = arriving === null ? "" : ` · Frames from cameras: ${arriving.toFixed(arriving < 10 ? 1 : 0)}/s`;
  return `Workers: ${alive} · Frames waiting: ${frames}${coming}`;
}

function trouble(level, title, rest) {
  return { level, title, rest };
}

export function capital(sentence) {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
