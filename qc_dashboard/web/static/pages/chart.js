// The last scores of a line over time, with the threshold, drawn by uPlot.
const MOST = 400;
const SHOWN_S = 300;
const HEIGHT = 130;

export class Chart {
  #points = [];
  #threshold = null;
  #plot = null;
  #changed = true;
  #seen = true;

  constructor(place) {
    this.place = place;
    new IntersectionObserver(([{ isIntersecting }]) => (this.#seen = isIntersecting), { rootMargin: "200px" }).observe(place);
    new ResizeObserver(() => this.#plot?.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
    document.addEventListener("qc:theme", () => this.#forget());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#forget());
  }

  add(inspections) {
    for (const { score, scored_at } of inspections) {
      if (score !== null) this.#points.push([new Date(scored_at).getTime() / 1000, score]);
    }
    this.#points.sort((one, other) => one[0] - other[0]);
    this.#points = this.#points.slice(-MOST);
    this.#changed = true;
  }

  draw(threshold) {
    this.#changed ||= threshold !== this.#threshold;
    // Of many lines most are out of view: drawing them all would hold the page up.
    if (!this.#changed || !this.#seen || this.place.clientWidth === 0) return;
    this.#changed = false;
    this.#threshold = threshold;
    const last = this.#points.at(-1)?.[0] ?? 0;
    const points = this.#points.filter(([time]) => time > last - SHOWN_S);
    const times = points.map(([time]) => time);
    const below = points.map(([, score]) => (threshold !== null && score > threshold ? null : score));
    const above = points.map(([, score]) => (threshold !== null && score > threshold ? score : null));
    const rows = [times, below, above, times.map(() => threshold)];
    if (this.#plot) this.#plot.setData(rows);
    else this.#plot = new uPlot(options(this.place), rows, this.place);
  }

  #forget() {
    this.#plot?.destroy();
    this.#plot = null;
    this.#changed = true;
  }
}

function options(place) {
  const colours = getComputedStyle(document.body);
  const colour = (name) => resolved(colours.getPropertyValue(name));
  const dots = (stroke, size) => ({ stroke, paths: () => null, points: { show: true, size, fill: stroke, width: 0 } });
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { show: false } };
  return {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_, low, high) => range(low, high) } },
    axes: [{ ...axis, size: 26, values: "{HH}:{mm}:{ss}", space: 90 }, { ...axis, size: 46, space: 30 }],
    series: [
      {},
      dots(colour("--pass"), 4),
      dots(colour("--reject"), 8),
      { stroke: colour("--text"), width: 2, dash: [8, 5], points: { show: false } },
    ],
  };
}

function range(low, high) {
  if (low === null || high === null) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.15;
  return [low - room, high + room];
}

// A canvas does not know light-dark(): let the browser compute the colour.
function resolved(value) {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  probe.style.color = value;
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
