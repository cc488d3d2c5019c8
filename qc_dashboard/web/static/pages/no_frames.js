// Before the first verdict: look again now and then, and load the page again as soon as it has something else to say.
const EVERY_MS = 5000;
const seen = document.getElementById("seen").dataset;

setInterval(async () => {
  try {
    const answer = await fetch("/api/v1/lines");
    if (!answer.ok) return;
    const { lines, workers } = await answer.json();
    const alive = workers.alive === null ? "None" : String(workers.alive);
    if (lines.length || alive !== seen.alive || (workers.waiting_frames ? "yes" : "no") !== seen.waits) location.reload();
  } catch {
    // the server is away; the next look finds it again
  }
}, EVERY_MS);
