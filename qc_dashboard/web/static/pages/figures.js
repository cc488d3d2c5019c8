// What the lines do now: the state that the API gives, and on top of it what the stream has counted since.
function placesIn(id) {
  const places = new Map();
  for (const part of id.split(".").slice(1)) {
    const [partition, offset] = part.split("-").map(Number);
    places.set(partition, offset);
  }
  return places;
}

function isAfter(id, other) {
  const places = placesIn(other);
  return [...placesIn(id)].some(([partition, offset]) => offset > (places.get(partition) ?? 0));
}

export class Figures {
  #events = [];
  #heard = new Map();
  state = null;
  skewMs = 0;

  // Take over the state; events that it has counted already are dropped.
  take(state) {
    this.state = state;
    this.skewMs = new Date(state.now).getTime() - Date.now();
    this.#events = state.event_id ? this.#events.filter(({ id }) => isAfter(id, state.event_id)) : [];
  }

  // Add an event; return the lines in it that the state does not know.
  add(id, lines) {
    if (this.state && !(this.state.event_id && !isAfter(id, this.state.event_id))) this.#events.push({ id, lines });
    const known = new Set(this.state ? this.state.lines.map(({ line }) => line) : []);
    for (const each of lines) this.#heard.set(each.line, this.now());
    return lines.filter(({ line }) => line !== null && !known.has(line));
  }

  now() {
    return Date.now() + this.skewMs;
  }

  // One line: counts of the window, shares, and when its last verdict came.
  of(line) {
    const counts = { pass: 0, reject: 0, review: 0, error: 0, no_model: 0, ...line.counts };
    let late = line.late;
    for (const news of this.#events.flatMap(({ lines }) => lines).filter((each) => each.line === line.line)) {
      for (const [verdict, count] of Object.entries(news.counts)) counts[verdict] += count;
      late += news.late;
    }
    const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
    const share = (...verdicts) => (total ? verdicts.reduce((sum, each) => sum + counts[each], 0) / total : null);
    const scored = line.last ? new Date(line.last.scored_at).getTime() : 0;
    return {
      ...line,
      counts,
      late,
      total,
      reject: share("reject"),
      review: share("review"),
      notJudged: share("error", "no_model"),
      heardAt: Math.max(scored, this.#heard.get(line.line) ?? 0),
    };
  }
}

export function percent(share) {
  if (share === null || share === undefined) return "–";
  const value = share * 100;
  return `${value !== 0 && value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0%`;
}
