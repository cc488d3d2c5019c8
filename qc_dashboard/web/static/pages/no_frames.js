// Before the first frame: look again now and then, and show the lines as soon as there is one.
const EVERY_MS = 5000;

setInterval(async () => {
  try {
    const answer = await fetch("/api/v1/lines");
    if (answer.ok && (await answer.json()).lines.length > 0) location.reload();
  } catch {
    // the server is away; the next look finds it again
  }
}, EVERY_MS);
